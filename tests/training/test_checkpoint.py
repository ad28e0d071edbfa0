"""Checkpoints: everything comes back, damage is noticed, old ones go."""

import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from stellar.config import RunConfig
from stellar.load_model import load
from stellar.model import Stellar
from stellar.model.files.config_json import CONFIG
from stellar.model.files.locating import WEIGHTS, checkpoints
from stellar.model.files.strict_loading import WeightsError
from stellar.model.history import public_name
from stellar.objective import PretrainingModel, Views, step
from stellar.storage import place_folder
from stellar.training import pretrain, resume
from stellar.training.checkpoint import STATE, Counters, prune, restore, save_checkpoint
from stellar.training.optimizer import build_optimizer
from stellar.training.setup import build_model


@pytest.fixture
def parts(config: RunConfig) -> tuple[PretrainingModel, torch.optim.AdamW]:
    """A model with a teacher and an optimizer that have taken one step."""
    config = replace(config, objective=replace(config.objective, teacher="constant"))
    model = build_model(config)
    optimizer = build_optimizer(model, config.training)
    batch = Views(torch.rand(2, 3, 16, 16), torch.rand(2, 3, 16, 16), None, torch.rand(2, 3, 8, 8))
    step(model, batch, lambda loss: loss.backward())
    optimizer.step()
    return model, optimizer


def test_a_run_tells_its_model_how_it_came_about(tmp_path: Path, config: RunConfig) -> None:
    pretrain(config, tmp_path / "run")
    history = load(tmp_path / "run").history
    assert history is not None
    assert (history.data, history.init, history.batch_size) == ("scenes", "", 4)
    assert (history.steps, history.total_steps) == (8, 8)
    assert history.epochs == 8 * 4 / history.num_images
    assert history.metrics["step"] == 8
    assert history.metrics["loss"] > 0
    assert "images_per_second" not in history.metrics


def test_names_do_not_tell_where_they_are(tmp_path: Path) -> None:
    (tmp_path / "pets").mkdir()
    assert public_name(str(tmp_path / "pets")) == "pets"


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("/home/alice/clients/acme/{000..099}.tar", "{000..099}.tar"),
        ("clients/acme/{000..099}.tar", "{000..099}.tar"),
        ("acme/*.tar", "*.tar"),
        ("~/acme/part-[01].tar", "part-[01].tar"),
        (r"C:\Users\alice\acme\{000..099}.tar", "{000..099}.tar"),
        ("file:///home/alice/acme/{000..099}.tar", "{000..099}.tar"),
        ("/home/alice/a model that was there/", "a model that was there"),
        ("s3://bucket/shards/{000..099}.tar", "s3://bucket/shards/{000..099}.tar"),
        ("facebook/vit-mae-base", "facebook/vit-mae-base"),
        ("hf://me/pets", "hf://me/pets"),
        ("stellar-b16", "stellar-b16"),
        ("scenes", "scenes"),
        ("", ""),
    ],
)
def test_names_of_what_is_no_file_do_not_tell_either(source: str, name: str) -> None:
    assert public_name(source) == name


def fresh(config: RunConfig) -> tuple[PretrainingModel, torch.optim.AdamW, RunConfig]:
    """A model of another seed and its optimizer, and what a checkpoint of `parts` was made with."""
    config = replace(config, objective=replace(config.objective, teacher="constant"))
    model = build_model(replace(config, training=replace(config.training, seed=1)))
    return model, build_optimizer(model, config.training), config


def test_everything_comes_back(tmp_path: Path, config: RunConfig, parts) -> None:
    counters = Counters(step=7, skipped_in_a_row=2, skipped=3)
    save_checkpoint(tmp_path, parts[0], parts[1], counters)
    model, optimizer, config = fresh(config)
    assert restore(tmp_path, model, optimizer, config, warn=pytest.fail) == counters
    expected = parts[0].state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in model.state_dict().items())
    for ours, theirs in zip(optimizer.state.values(), parts[1].state.values(), strict=True):
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize("file", [WEIGHTS, STATE])
@pytest.mark.parametrize("damage", ["flipped byte", "truncated", "missing"])
def test_a_damaged_one_falls_back_to_the_one_before(
    tmp_path: Path, config: RunConfig, parts, file: str, damage: str
) -> None:
    save_checkpoint(tmp_path, parts[0], parts[1], Counters(step=1))
    path = save_checkpoint(tmp_path, parts[0], parts[1], Counters(step=2)) / file
    content = bytearray(path.read_bytes())
    if damage == "flipped byte":
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    elif damage == "truncated":
        path.write_bytes(content[:-1])
    else:
        path.unlink()
    warnings: list[str] = []
    assert restore(tmp_path, *fresh(config), warn=warnings.append).step == 1
    assert len(warnings) == 1
    assert "step-00000002 is damaged" in warnings[0]
    assert file in warnings[0]
    load(tmp_path)


def test_a_file_in_the_place_of_one_is_passed_over(
    tmp_path: Path, config: RunConfig, parts
) -> None:
    save_checkpoint(tmp_path, parts[0], parts[1], Counters(step=1))
    (tmp_path / "checkpoints/step-00000002").touch()
    warnings: list[str] = []
    assert restore(tmp_path, *fresh(config), warn=warnings.append).step == 1
    assert "step-00000002 is damaged" in warnings[0]


@pytest.mark.parametrize(
    "state",
    [
        {"optimizer": {"state": {}, "param_groups": []}, "counters": {"step": 1}},
        {"moments": {}, "counters": {"step": 1, "epoch": 0}},
        {"moments": {}, "counters": {"step": "1"}},
        {"moments": {}, "counters": {"step": -1}},
        Path("no tensors"),
    ],
)
def test_the_state_of_another_version_is_a_sentence(
    tmp_path: Path, config: RunConfig, parts, state: object
) -> None:
    whole = save_checkpoint(tmp_path, parts[0], parts[1], Counters(step=1))

    def write(folder: Path) -> None:
        for name in (WEIGHTS, CONFIG):
            (folder / name).write_bytes((whole / name).read_bytes())
        torch.save(state, folder / STATE)

    place_folder(tmp_path / "checkpoints/step-00000002", write)
    with pytest.raises(WeightsError, match=f"from another version .* --init {tmp_path} "):
        restore(tmp_path, *fresh(config), warn=pytest.fail)


def test_a_half_written_one_is_not_seen(tmp_path: Path, config: RunConfig, parts) -> None:
    save_checkpoint(tmp_path, parts[0], parts[1], Counters(step=1))
    unfinished = tmp_path / "checkpoints" / ".99.step-00000002"
    unfinished.mkdir()
    (unfinished / WEIGHTS).write_bytes(b"half")
    assert restore(tmp_path, *fresh(config), warn=pytest.fail).step == 1


def test_none_whole_is_an_error_and_none_at_all_is_a_start(
    tmp_path: Path, config: RunConfig, parts
) -> None:
    assert restore(tmp_path, *fresh(config), warn=pytest.fail) == Counters()
    (save_checkpoint(tmp_path, parts[0], parts[1], Counters(step=1)) / WEIGHTS).unlink()
    with pytest.raises(WeightsError, match="none of the 1 checkpoints"):
        restore(tmp_path, *fresh(config), warn=lambda _: None)
    with pytest.raises(WeightsError, match="none of its 1 checkpoints is whole"):
        load(tmp_path)


def test_the_newest_and_every_nth_are_kept(tmp_path: Path, parts) -> None:
    for number in (5, 10, 15, 20, 25):
        save_checkpoint(tmp_path, parts[0], parts[1], Counters(step=number))
        prune(tmp_path, number, keep_every=10)
    assert [folder.name[-2:] for folder in checkpoints(tmp_path)] == ["10", "20", "25"]


def test_the_first_after_damaged_ones_takes_their_place(tmp_path: Path, config: RunConfig) -> None:
    """And not before it is written, so that a whole one is there at every moment."""
    training = replace(config.training, steps=12, checkpoint_every=6, sample_every=7)
    run = pretrain(replace(config, training=training), tmp_path / "run").folder
    whole, last = checkpoints(run)
    (last / WEIGHTS).write_bytes(b"damaged")
    (run / "checkpoints/step-00000013").touch()
    before = checkpoints(run)

    def stop(_model: Stellar) -> str:
        assert checkpoints(run) == before
        os.kill(os.getpid(), signal.SIGTERM)
        return ""

    assert resume(run, look=stop).step == 8
    assert checkpoints(run) == [whole, run / "checkpoints/step-00000008"]
    assert resume(run).finished
