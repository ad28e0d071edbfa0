"""What names begin with is taken off, and tells an encoder from what lies beside it."""

from pathlib import Path

import pytest
import torch

from stellar.config import ModelConfig
from stellar.model import Stellar
from stellar.model.files.prefixes import encoder_only, is_stellar
from stellar.model.files.published_layout import PUBLISHED
from stellar.model.files.strict_loading import WeightsError
from stellar.model.files.tensors import read_state

STATE = {"a.weight": torch.arange(6.0).reshape(2, 3), "b.bias": torch.ones(4)}


@pytest.mark.parametrize("nest", ["state_dict", "model", "teacher"])
@pytest.mark.parametrize("prefix", ["", "model.", "module.", "module._orig_mod."])
def test_training_state_and_prefixes_are_taken_off(tmp_path: Path, nest: str, prefix: str) -> None:
    state = {prefix + name: tensor for name, tensor in STATE.items()}
    torch.save({nest: state, "epoch": 3, "optimizer": {"lr": 0.1}}, tmp_path / "x.ckpt")
    found = read_state(tmp_path / "x.ckpt")
    assert found.keys() == STATE.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in STATE.items())


def test_an_encoder_is_told_from_what_lies_beside_it() -> None:
    one, two = torch.ones(1), torch.zeros(1)
    student = {"student.cls_token": two, "student.norm.bias": two}
    teacher = {"teacher.backbone.cls_token": one, "teacher.backbone.norm.bias": one}
    found = encoder_only(student | teacher | {"teacher.head.bias": two})
    assert found.keys() == {"cls_token", "norm.bias"}
    assert found["cls_token"] is one
    assert encoder_only({"vit.embeddings.cls_token": one}).keys() == {"embeddings.cls_token"}
    with pytest.raises(WeightsError, match="no cls token"):
        encoder_only({"conv1.weight": one})
    chunked = {"cls_token": one, "blocks.0.0.norm1.weight": one, "blocks.1.12.mlp.fc1.bias": two}
    assert encoder_only(chunked).keys() == {
        "cls_token", "blocks.0.norm1.weight", "blocks.12.mlp.fc1.bias",
    }  # fmt: skip


def test_a_model_of_ours_is_known_in_any_naming(small: ModelConfig) -> None:
    state = Stellar(small).state_dict()
    for named in (state, PUBLISHED.write(state)):
        assert is_stellar(named)
        with pytest.raises(WeightsError, match=r"load it with stellar\.load"):
            encoder_only(named)
