"""What was opened says what it is: a model of ours or somebody else's backbone."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

import stellar
from stellar.config import ModelConfig, ObjectiveConfig
from stellar.model import Stellar
from stellar.model.files.config_json import CONFIG
from stellar.model.files.locating import WEIGHTS
from stellar.model.files.opening import (
    BackboneFile,
    ModelFile,
    open_backbone,
    open_model,
    open_weights,
)
from stellar.model.files.saving import save_model
from stellar.model.files.strict_loading import WeightsError
from stellar.objective import PretrainingModel

Place = Callable[..., Path]


@pytest.fixture
def ours(tmp_path: Path, small: ModelConfig) -> Path:
    (tmp_path / "ours").mkdir()
    save_model(tmp_path / "ours", Stellar(small))
    return tmp_path / "ours"


@pytest.fixture
def published(tmp_path: Path, small: ModelConfig, small_objective: ObjectiveConfig) -> Path:
    model = PretrainingModel(small, small_objective)
    return stellar.save_published(model, tmp_path / "published", "mine").parent


def test_ours_and_published_files_are_models(
    ours: Path, published: Path, small: ModelConfig
) -> None:
    for source in (ours, ours / WEIGHTS, str(ours), published, published / "mine.safetensors"):
        for file in (open_weights(source), open_model(source)):
            assert isinstance(file, ModelFile)
            assert file.config == small
            assert not file.from_hub
            assert "encoder.blocks.0.attn.qkv.weight" in file.state
    assert open_model(ours).objective is None
    objective = open_model(published).objective
    assert objective is not None
    assert objective.num_prototypes == 12


def test_other_encoders_are_backbones(vit: Path) -> None:
    for source in (vit, vit / WEIGHTS):
        for file in (open_weights(source), open_backbone(source)):
            assert isinstance(file, BackboneFile)
            assert file.name == f"{source} (ViT, MAE or DINO)"
            assert (file.sizes["embed_dim"], file.sizes["num_heads"]) == (32, 4)
            assert file.state["sparse_tokens"].shape == (0, 32)


def test_a_hub_id_is_opened_whatever_it_holds(
    ours: Path, vit: Path, hub_cache: Path, place_in_hub_cache: Place
) -> None:
    for repo, folder in (("you/pets", ours), ("you/vit", vit)):
        files = {name: folder / name for name in (CONFIG, WEIGHTS)}
        place_in_hub_cache(hub_cache, repo, files)
    pets = open_weights("you/pets")
    assert isinstance(pets, ModelFile)
    assert pets.from_hub
    assert isinstance(open_weights("you/vit"), BackboneFile)
    assert isinstance(open_weights("hf://you/vit"), BackboneFile)


def test_who_asks_for_one_kind_is_told_of_the_other(ours: Path, vit: Path) -> None:
    with pytest.raises(WeightsError, match=r"ours cannot be used .* load it with stellar\.load"):
        open_backbone(ours)
    with pytest.raises(WeightsError, match=r"is no model of stellar.* another .* pretrain --init"):
        open_model(vit)
    with pytest.raises(WeightsError, match=r"stellar-b16 is a STELLAR model; load it with"):
        open_backbone("stellar-b16")


def test_what_is_neither_gets_a_sentence(tmp_path: Path) -> None:
    save_file({"conv1.weight": torch.zeros(3)}, tmp_path / "x.safetensors")
    with pytest.raises(WeightsError, match="cannot be used as a backbone: it has no cls"):
        open_weights(tmp_path / "x.safetensors")


def test_settings_that_are_missing_are_told_of(
    ours: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What decides how the weights are used is not silently guessed."""
    open_model(ours)
    assert not caplog.records
    content = json.loads((ours / CONFIG).read_text())
    for later in ("gated_mlp", "rope_theta"):  # files of before have neither
        del content["model"][later]
    (ours / CONFIG).write_text(json.dumps(content))
    assert open_model(ours).config.rope_theta is None
    assert not caplog.records
    del content["model"]["image_mean"], content["model"]["spatial_temperature"]
    (ours / CONFIG).write_text(json.dumps(content))
    open_model(ours)
    (record,) = caplog.records
    assert "says nothing of image_mean, spatial_temperature; the defaults" in record.getMessage()
