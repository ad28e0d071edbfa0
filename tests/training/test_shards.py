"""A run on shards: killed with -9 in the middle of an epoch and resumed, it is the same run, bit
for bit.
"""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from stellar.config import RunConfig
from stellar.config_toml import to_toml
from stellar.data.shards.writing import write_shards
from stellar.model.files.locating import WEIGHTS, checkpoints
from stellar.storage import checksum
from stellar.training import pretrain, resume
from stellar.training.run_folder import METRICS, read_metrics


def shards(folder: Path) -> Path:
    """Forty pictures in three shards: ten steps of four are an epoch."""
    (folder / "photos").mkdir()
    rng = np.random.default_rng(0)
    for number in range(40):
        noise = rng.integers(0, 256, (170, 170, 3), dtype=np.uint8)
        Image.fromarray(noise).save(folder / "photos" / f"{number:02d}.png")
    assert write_shards(folder / "photos", folder / "shards", shard_size=1).num_shards > 2
    return folder / "shards"


def rows(run: Path) -> list[dict[str, float]]:
    return [
        {name: value for name, value in row.items() if name != "images_per_second"}
        for row in read_metrics(run / METRICS)
    ]


def test_killed_and_resumed_equals_uninterrupted(tmp_path: Path, config: RunConfig) -> None:
    training = replace(config.training, steps=26, checkpoint_every=4, num_workers=1)
    pattern = str(shards(tmp_path) / "shard-{000000..000002}.tar")
    config = replace(config, data=pattern, training=training)
    (tmp_path / "run.toml").write_text(to_toml(config))
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    call = [sys.executable, "-m", "stellar", "pretrain", "--config", str(tmp_path / "run.toml")]
    with subprocess.Popen(
        [*call, "--out", str(killed)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        end = time.monotonic() + 120
        while len(checkpoints(killed)) < 1:
            assert process.poll() is None
            assert time.monotonic() < end
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
    assert int(checkpoints(killed)[-1].name[-8:]) < 26
    assert resume(killed).finished
    assert pretrain(config, whole).finished
    assert rows(killed) == rows(whole)
    ours, theirs = (checkpoints(run)[-1] / WEIGHTS for run in (killed, whole))
    assert checksum(ours) == checksum(theirs)
