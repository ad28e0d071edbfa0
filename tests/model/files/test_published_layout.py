"""The published layout, name for name."""

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from torch import Tensor

from stellar.config import DecoderConfig, ModelConfig, ObjectiveConfig, RunConfig
from stellar.model import Stellar
from stellar.model.files.layout import UnknownWeights
from stellar.model.files.published_layout import PUBLISHED, with_unused
from stellar.model.files.strict_loading import WeightsError
from stellar.objective import PretrainingModel
from stellar.presets import b16, h16, l16

REFERENCE = Path(
    os.environ.get("STELLAR_REFERENCE", Path(__file__).parents[4] / "shared/reference")
)
LAYOUT = REFERENCE / "state_dict_b16_vq.json"


def layout_of(config: ModelConfig) -> dict[str, list[int]]:
    """Names and shapes of a published model of this size, from those of B/16: the encoder's width,
    depth and patches change, the decoder and its unused embeddings do not.
    """
    sizes = {768: config.embed_dim, 3072: 4 * config.embed_dim}
    expected = {}
    for name, shape in json.loads(LAYOUT.read_text()).items():
        own = not name.startswith("decoder.")
        grown = [sizes.get(length, length) if own else length for length in shape]
        if name == "encoder.embeddings.position_embeddings":
            grown[1] = 1 + (config.image_size // config.patch_size) ** 2
        if name == "encoder.embeddings.patch_embeddings.projection.weight":
            grown[2:] = [config.patch_size] * 2
        layer = re.match(r"encoder\.encoder\.layer\.0(\..*)", name)
        if layer:
            for index in range(config.depth):
                expected[f"encoder.encoder.layer.{index}{layer[1]}"] = grown
        elif not name.startswith("encoder.encoder.layer."):
            expected[name] = grown
    return expected


@pytest.mark.skipif(not LAYOUT.exists(), reason=f"no {LAYOUT.name} in {REFERENCE}")
@pytest.mark.parametrize("preset", [b16, l16, h16])
def test_every_name_and_shape_of_b_l_and_h(preset: Callable[[], RunConfig]) -> None:
    config = preset()
    with torch.device("meta"):
        model = PretrainingModel(config.model, config.objective)
    written = with_unused(PUBLISHED.write(model.state_dict()))
    assert {name: list(t.shape) for name, t in written.items()} == layout_of(config.model)
    if preset is b16:
        assert layout_of(config.model) == json.loads(LAYOUT.read_text())


def test_tensors_are_read_and_fused_when_they_are_asked_for(small: ModelConfig) -> None:
    class Watched(dict[str, Tensor]):
        asked: ClassVar[list[str]] = []

        def __getitem__(self, name: str) -> Tensor:
            self.asked.append(name)
            return super().__getitem__(name)

    state = Stellar(small).state_dict()
    view = PUBLISHED.view(Watched(PUBLISHED.write(state)))
    assert view.keys() == state.keys()
    assert set(Watched.asked) <= {"encoder.embeddings.cls_token"}  # what the type checker looks at
    Watched.asked.clear()
    name = "encoder.blocks.1.attn.qkv.weight"
    assert torch.equal(view[name], state[name])
    assert [asked.split(".")[-2] for asked in Watched.asked] == ["query", "key", "value"]


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


def test_a_lost_part_of_qkv_is_named(small: ModelConfig) -> None:
    state = PUBLISHED.write(Stellar(small).state_dict())
    del state["encoder.encoder.layer.1.attention.attention.value.weight"]
    with pytest.raises(WeightsError, match=r"lack encoder\.blocks\.1\.attn\.v\.weight"):
        PUBLISHED.read(state)


def test_published_sizes() -> None:
    """86 M, 304 M and 632 M: the sizes of ViT-B, -L and -H."""
    from stellar.model.encoder import Encoder

    for preset, millions in ((b16, 86), (l16, 304), (h16, 631)):
        with torch.device("meta"):
            encoder = Encoder(preset().model)
        assert sum(p.numel() for p in encoder.parameters()) // 10**6 in (millions - 1, millions)
    assert DecoderConfig().embed_dim == 512
