"""Runs of a study: trained once, kept, and gone on with."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from stellar.config import (
    RunConfig,
)
from stellar.config_toml import to_toml
from stellar.presets import demo
from stellar.study.runs import require_same_settings, trained, within
from stellar.training import RunError


def test_runs_with_other_settings_are_refused_and_some_of_these_are_named(
    base: RunConfig, tmp_path: Path
) -> None:
    run = tmp_path / "runs/the-whole-seed-0"
    require_same_settings(base, run, tmp_path)
    run.mkdir(parents=True)
    (run / "run.toml").write_text(to_toml(base))
    require_same_settings(base, run, tmp_path)
    with pytest.raises(RunError) as refusal:
        require_same_settings(base.with_steps(5), run, tmp_path)
    assert str(refusal.value) == (
        f"{tmp_path} holds runs with other settings (training.steps: 4 there, 5 asked); "
        f"remove {tmp_path}, or choose another --out"
    )
    with pytest.raises(RunError, match=r"\(data: .*; .* asked; and \d+ more\); remove") as refusal:
        require_same_settings(replace(demo(), data="photos"), run, tmp_path)
    assert str(refusal.value).count(" there, ") == 3


def test_a_folder_with_a_relative_path_goes_on(
    base: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("pictures").mkdir()
    for number in range(4):
        Image.new("RGB", (20, 20), (60 * number, 90, 120)).save(f"pictures/{number}.png")
    config = replace(base, data="pictures")
    first = trained(config, Path("run")).state_dict()
    require_same_settings(config, Path("run"), Path())
    again = trained(config, Path("run")).state_dict()
    assert all(torch.equal(again[name], tensor) for name, tensor in first.items())


def test_a_run_goes_on_when_the_run_that_it_started_from_is_gone(
    base: RunConfig, tmp_path: Path
) -> None:
    trained(base, tmp_path / "first")
    config = replace(base, init=str(tmp_path / "first"))
    once = trained(config, tmp_path / "second").state_dict()
    shutil.rmtree(tmp_path / "first")
    require_same_settings(config, tmp_path / "second", tmp_path)
    again = trained(config, tmp_path / "second").state_dict()
    assert all(torch.equal(again[name], tensor) for name, tensor in once.items())


def test_a_run_from_a_backbone_is_known_again(base: RunConfig, tmp_path: Path, vit: Path) -> None:
    """It wrote down the backbone's sizes, which the configuration does not have."""
    config = replace(base, init=str(vit))
    once = trained(config, tmp_path / "run")
    assert once.config.embed_dim == 32 != base.model.embed_dim
    require_same_settings(config, tmp_path / "run", tmp_path)
    again = trained(config, tmp_path / "run").state_dict()
    assert all(torch.equal(again[name], tensor) for name, tensor in once.state_dict().items())


def test_a_budget_in_minutes_becomes_steps(base: RunConfig, tmp_path: Path) -> None:
    runs = {minutes: within(base, minutes, tmp_path / "run") for minutes in (0.02, 5.0)}
    short, long = (run.training.steps for run in runs.values())
    assert short is not None
    assert long is not None
    assert long > 2 * short > 0
    assert replace(runs[0.02], training=base.training) == base
    trained(base, tmp_path / "run")
    assert within(base, 5.0, tmp_path / "run") == base  # one that was begun goes on
