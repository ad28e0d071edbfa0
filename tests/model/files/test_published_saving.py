"""What is written for users of the published code, and what is not."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import stellar
from stellar.config import ModelConfig, ObjectiveConfig
from stellar.errors import UserError
from stellar.model import Stellar
from stellar.model.files.strict_loading import WeightsError
from stellar.objective import PretrainingModel


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"in_chans": 1, "image_mean": (0.5,), "image_std": (0.5,)}, "in_chans = 1"),
        ({"image_std": (0.5, 0.5, 0.5)}, r"image_std = \(0.5, 0.5, 0.5\)"),
        ({"norm_eps": 1e-6}, "norm_eps = 1e-06"),
        ({"layer_scale": True}, "layer_scale = True"),
        ({"num_registers": 4}, "num_registers = 4"),
        ({"gated_mlp": True}, "gated_mlp = True"),
        ({"rope_theta": 100.0}, "rope_theta = 100.0"),
        ({"slot_rounds": 2}, "slot_rounds = 2"),
        ({"num_sparse_tokens": 0, "bottleneck": 8}, "bottleneck = 8"),
    ],
)
def test_what_the_published_code_cannot_say_is_refused(
    tmp_path: Path, small: ModelConfig, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(WeightsError, match=f"cannot say {message}"):
        stellar.save_published(Stellar(replace(small, **change)), tmp_path / "new")
    assert not (tmp_path / "new").exists()


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("name", ["a/b", "", "..", "a\nb", None])
def test_what_is_no_name_is_refused(tmp_path: Path, small: ModelConfig, name: str) -> None:
    with pytest.raises(WeightsError, match="name must be a file's name, as stellar-pets, got"):
        stellar.save_published(Stellar(small), tmp_path / "new", name)
    assert not (tmp_path / "new").exists()


def test_all_that_cannot_be_said_is_told_at_once(tmp_path: Path, small: ModelConfig) -> None:
    dinov3 = replace(small, norm_eps=1e-5, layer_scale=True, num_registers=4, rope_theta=100.0)
    with pytest.raises(
        WeightsError,
        match=r"cannot say norm_eps = 1e-05, layer_scale = True, num_registers = 4, rope_theta = "
        r"100\.0: its models have norm_eps = 1e-12, .* rope_theta = None; write .* save_pretrained",
    ):
        stellar.save_published(Stellar(dinov3), tmp_path / "new")


def test_a_decoder_that_learned_nothing_is_not_passed_on(
    tmp_path: Path, small: ModelConfig, small_objective: ObjectiveConfig
) -> None:
    """Whether the model comes from its run, with heads, or from what it was saved as."""
    objective = replace(small_objective, reconstruction_weight=0.0)
    PretrainingModel(small, objective).save_pretrained(tmp_path / "run")
    stellar.load(tmp_path / "run").save_pretrained(tmp_path / "saved")
    for model in (
        stellar.load(tmp_path / "run", purpose="pretrain"),
        stellar.load(tmp_path / "saved"),
    ):
        with pytest.raises(WeightsError, match=r"no reconstruction term; write .* save_pretrained"):
            stellar.save_published(model, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_part_without_a_published_name_is_named(
    tmp_path: Path, small: ModelConfig, small_objective: ObjectiveConfig
) -> None:
    model = PretrainingModel(small, replace(small_objective, masked_reconstruction_weight=1.0))
    with pytest.raises(WeightsError, match=r"'mask_token' is not .*; write .* save_pretrained"):
        stellar.save_published(model, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_saving_overwrites_nothing(tmp_path: Path, small: ModelConfig) -> None:
    (tmp_path / "diary.txt").write_text("dear diary")
    with pytest.raises(WeightsError, match="is not empty"):
        stellar.save_published(Stellar(small), tmp_path)
    with pytest.raises(WeightsError, match="is not empty"):
        stellar.save_published(Stellar(small), tmp_path / "diary.txt")
    with pytest.raises(WeightsError, match="loaded to encode only"):
        stellar.save_published(Stellar(small, draws=False), tmp_path / "new")
    with pytest.raises(UserError, match="long cannot be a path here"):
        stellar.save_published(Stellar(small), tmp_path / ("long" * 75))
    assert [path.name for path in tmp_path.iterdir()] == ["diary.txt"]
