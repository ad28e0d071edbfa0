"""The published layout, name for name."""

import json
import os
from pathlib import Path

import pytest
import torch

from stellar.config import DecoderConfig, ModelConfig, ObjectiveConfig
from stellar.model.layout import UnknownWeights
from stellar.model.published import PUBLISHED
from stellar.objective import PretrainingModel
from stellar.presets import b16

REFERENCE = Path(
    os.environ.get("STELLAR_REFERENCE", Path(__file__).parents[3] / "shared/reference")
)
LAYOUT = REFERENCE / "state_dict_b16_vq.json"


@pytest.mark.skipif(not LAYOUT.exists(), reason=f"no {LAYOUT.name} in {REFERENCE}")
def test_every_name_and_shape_of_b16() -> None:
    with torch.device("meta"):
        model = PretrainingModel(b16().model, b16().objective)
        ours = {name: list(t.shape) for name, t in PUBLISHED.write(model.state_dict()).items()}
    published = json.loads(LAYOUT.read_text())
    used = {name: shape for name, shape in published.items() if not PUBLISHED.unused.match(name)}
    assert ours == used


def test_there_and_back(small: ModelConfig, small_objective: ObjectiveConfig) -> None:
    state = PretrainingModel(small, small_objective).state_dict()
    again = PUBLISHED.read(PUBLISHED.write(state))
    assert again.keys() == state.keys()
    assert all(torch.equal(again[name], tensor) for name, tensor in state.items())


def test_a_teacher_has_names_too(small: ModelConfig) -> None:
    objective = ObjectiveConfig(
        num_prototypes=4, prototype_dim=4, head_hidden_dim=4, teacher="constant"
    )
    state = PretrainingModel(small, objective).state_dict()
    published = PUBLISHED.write(state)
    assert "teacher_sparse_tokens" in published
    assert "teacher_encoder.encoder.layer.0.attention.attention.key.weight" in published
    assert PUBLISHED.read(published).keys() == state.keys()


def test_a_strange_name_is_refused() -> None:
    with pytest.raises(UnknownWeights, match=r"'fc.weight' is not a parameter"):
        PUBLISHED.read({"fc.weight": torch.zeros(1)})


def test_published_sizes() -> None:
    """86 M, 304 M and 632 M: the sizes of ViT-B, -L and -H."""
    from stellar.model.encoder import Encoder
    from stellar.presets import h16, l16

    for preset, millions in ((b16, 86), (l16, 304), (h16, 631)):
        with torch.device("meta"):
            encoder = Encoder(preset().model)
        assert sum(p.numel() for p in encoder.parameters()) // 10**6 in (millions - 1, millions)
    assert DecoderConfig().embed_dim == 512
