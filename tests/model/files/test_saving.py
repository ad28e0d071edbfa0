"""Models as files: what is written is what is read, and nothing else is accepted."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from stellar.config import ModelConfig, ObjectiveConfig
from stellar.load_model import load
from stellar.model import Stellar
from stellar.model.files.config_json import CONFIG
from stellar.model.files.fingerprint import fingerprint
from stellar.model.files.locating import WEIGHTS
from stellar.model.files.saving import save_model
from stellar.model.files.strict_loading import WeightsError, load_weights
from stellar.objective import PretrainingModel


@pytest.fixture
def saved(tmp_path: Path, small: ModelConfig) -> Path:
    save_model(tmp_path, Stellar(small))
    return tmp_path


def test_what_is_written_is_what_is_read(tmp_path: Path, small: ModelConfig) -> None:
    model, images = Stellar(small).eval(), torch.rand(1, 3, 16, 16)
    save_model(tmp_path, model)
    for path in (tmp_path, tmp_path / WEIGHTS):
        loaded = load(path)
        assert loaded.config == small
        assert torch.equal(loaded.encode(images).sparse, model.encode(images).sparse)
        assert fingerprint(loaded) == fingerprint(model)
        assert not loaded.training


def test_heads_and_teacher_are_left_aside(tmp_path: Path, small: ModelConfig) -> None:
    objective = ObjectiveConfig(
        num_prototypes=4, prototype_dim=4, head_hidden_dim=4, teacher="constant"
    )
    model = PretrainingModel(small, objective)
    save_model(tmp_path, model, {"objective": {}})
    assert type(load(tmp_path)) is Stellar
    assert fingerprint(load(tmp_path)) == fingerprint(model)
    assert any(name.startswith("teacher.") for name in load_file(tmp_path / WEIGHTS))


def test_fingerprints_tell_models_apart(small: ModelConfig) -> None:
    model = Stellar(small)
    before = fingerprint(model)
    with torch.no_grad():
        model.encoder.cls_token[0, 0, 0] += 1e-3
    assert fingerprint(model) != before


def corrupt(folder: Path, how: str) -> None:
    weights, config = folder / WEIGHTS, folder / CONFIG
    state = load_file(weights)
    content = json.loads(config.read_text())
    if how == "truncated":
        weights.write_bytes(weights.read_bytes()[:-100])
    elif how == "empty":
        weights.write_bytes(b"")
    elif how == "missing tensor":
        del state["encoder.cls_token"]
        save_file(state, weights)
    elif how == "extra tensor":
        save_file(state | {"encoder.extra": torch.zeros(2)}, weights)
    elif how == "wrong shape":
        save_file(state | {"encoder.cls_token": torch.zeros(1, 1, 7)}, weights)
    elif how == "no config":
        config.unlink()
    elif how == "config of something else":
        config.write_text('{"architectures": ["Other"]}')
    elif how == "config with a strange key":
        content["model"]["embed_dimm"] = 3
        config.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("truncated", "cannot be read as safetensors"),
        ("empty", "cannot be read as safetensors"),
        ("missing tensor", "missing: encoder.cls_token"),
        ("extra tensor", "not part of this model: encoder.extra"),
        ("wrong shape", r"encoder.cls_token \(1, 1, 7\) instead of \(1, 1, 24\)"),
        ("no config", "config.json is missing"),
        ("config of something else", "does not describe a stellar model"),
        ("config with a strange key", "did you mean 'embed_dim'"),
    ],
)
def test_damaged_files_get_a_sentence(saved: Path, how: str, message: str) -> None:
    corrupt(saved, how)
    with pytest.raises(WeightsError, match=message):
        load(saved)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nowhere", "does not exist"),
        ("note.txt", "is not a file of weights"),
        (".", "holds no model: expected a run with a checkpoint"),
    ],
)
def test_other_paths_get_a_sentence(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "note.txt").write_text("hello")
    with pytest.raises(WeightsError, match=message):
        load(tmp_path / name)


def test_nothing_changes_when_weights_do_not_fit(small: ModelConfig) -> None:
    model, other = Stellar(small), Stellar(replace(small, depth=1))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(WeightsError, match=r"missing: encoder.blocks.1"):
        load_weights(model, other.state_dict())
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
