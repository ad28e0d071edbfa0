"""Runs of a study: trained once, kept, and gone on with."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from stellar.config import (
    RunConfig,
)
from stellar.study.runs import trained, within
from stellar.training import RunError


def test_another_run_in_the_folder_is_kept(base: RunConfig, tmp_path: Path) -> None:
    trained(base, tmp_path / "run")
    longer = replace(base, training=replace(base.training, steps=5))
    with pytest.raises(RunError, match="a run with other settings"):
        trained(longer, tmp_path / "run")


def test_a_folder_with_a_relative_path_goes_on(
    base: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("pictures").mkdir()
    for number in range(4):
        Image.new("RGB", (20, 20), (60 * number, 90, 120)).save(f"pictures/{number}.png")
    config = replace(base, data="pictures")
    first = trained(config, Path("run")).state_dict()
    again = trained(config, Path("run")).state_dict()
    assert all(torch.equal(again[name], tensor) for name, tensor in first.items())


def test_a_budget_in_minutes_becomes_steps(base: RunConfig, tmp_path: Path) -> None:
    runs = {minutes: within(base, minutes, tmp_path / "run") for minutes in (0.02, 5.0)}
    short, long = (run.training.steps for run in runs.values())
    assert short is not None
    assert long is not None
    assert long > 2 * short > 0
    assert replace(runs[0.02], training=base.training) == base
    trained(base, tmp_path / "run")
    assert within(base, 5.0, tmp_path / "run") == base  # one that was begun goes on
