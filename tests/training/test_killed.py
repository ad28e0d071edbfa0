"""kill -9 in the middle of an epoch, then --resume: the same run, bit for bit, as one that was
never killed.
"""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from stellar.cli import main
from stellar.config import RunConfig
from stellar.config_toml import to_toml
from stellar.model.files.locating import WEIGHTS, checkpoints
from stellar.storage import checksum
from stellar.training import pretrain
from stellar.training.checkpoint import STATE
from stellar.training.run_folder import METRICS, read_metrics

STEPS = 50


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "stellar", "pretrain", *map(str, arguments)]


def photographs(folder: Path) -> Path:
    """Forty pictures: ten steps of four are an epoch, so a kill is in the middle of one."""
    import numpy as np
    from PIL import Image

    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(40):
        noise = rng.integers(0, 256, (5, 6, 3), dtype=np.uint8)
        Image.fromarray(noise).resize((48, 40)).save(folder / f"{number:02d}.png")
    return folder


def rows(run: Path) -> list[dict[str, float]]:
    return [
        {k: v for k, v in row.items() if k != "images_per_second"}
        for row in read_metrics(run / METRICS)
    ]


def wait_for(condition, process: subprocess.Popen, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < end, "the run did not come far enough in time"
        time.sleep(0.01)


@pytest.mark.long
@pytest.mark.parametrize(
    "num_workers",
    # Without workers less can go wrong; test_loop.py stops and resumes such runs.
    [2, pytest.param(0, marks=pytest.mark.slow)],
)
def test_killed_and_resumed_equals_uninterrupted(
    tmp_path: Path, config: RunConfig, num_workers: int, capsys: pytest.CaptureFixture[str]
) -> None:
    training = replace(
        config.training, steps=STEPS, checkpoint_every=13, log_every=5, num_workers=num_workers
    )
    config = replace(config, data=str(photographs(tmp_path / "photos")), training=training)
    (tmp_path / "run.toml").write_text(to_toml(config))

    assert pretrain(config, tmp_path / "whole").finished
    killed = tmp_path / "killed"
    with subprocess.Popen(
        command("--config", tmp_path / "run.toml", "--out", killed),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        wait_for(lambda: len(checkpoints(killed)) >= 1, process)
        os.kill(process.pid, signal.SIGKILL)
    assert int(checkpoints(killed)[-1].name[-8:]) < STEPS

    assert main(["pretrain", "--out", str(killed), "--resume"]) == 0
    assert "from step" in capsys.readouterr().out
    assert rows(killed) == rows(tmp_path / "whole")
    ours, theirs = (checkpoints(run)[-1] for run in (killed, tmp_path / "whole"))
    assert checksum(ours / WEIGHTS) == checksum(theirs / WEIGHTS)
    states = [torch.load(folder / STATE, weights_only=True) for folder in (ours, theirs)]
    assert states[0]["counters"] == states[1]["counters"]
    for number, moments in states[0]["moments"].items():
        for name, value in moments.items():
            assert torch.equal(value, states[1]["moments"][number][name])


@pytest.mark.long
@pytest.mark.parametrize(
    "stop",
    # Both are caught in one place; test_loop.py sends either to a run in its own process.
    [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)],
)
def test_asked_to_stop_it_saves_and_says_how_to_go_on(
    tmp_path: Path, config: RunConfig, stop: signal.Signals
) -> None:
    """The signal goes to the whole process group, as a terminal and torchrun send it: workers
    must not die first.
    """
    training = replace(config.training, steps=100_000, checkpoint_every=100_000, num_workers=2)
    (tmp_path / "run.toml").write_text(to_toml(replace(config, training=training)))
    run = tmp_path / "run"
    with subprocess.Popen(
        command("--config", tmp_path / "run.toml", "--out", run),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        wait_for(lambda: (run / METRICS).exists() and len(rows(run)) > 3, process)
        os.killpg(process.pid, stop)
        output, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert f"go on with: stellar pretrain --out {run} --resume" in output
    assert errors == ""
    assert len(checkpoints(run)) == 1
