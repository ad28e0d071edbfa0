"""However a batch is split over processes, and wherever a run goes on, the numbers are those of one
process with the whole batch.
"""

import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from in_processes import Job, perform, write
from safetensors.torch import load_file
from torch.torch_version import TorchVersion

from stellar.config import RunConfig
from stellar.config_toml import to_toml
from stellar.model.files.locating import WEIGHTS, checkpoints
from stellar.study.systems import dense
from stellar.training.run_folder import METRICS, read_metrics

SHARDS = torch.__version__ >= TorchVersion("2.11")
"""Older ones do not find the gathered weights in the backward pass."""


def torchrun(processes: int, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    return subprocess.run(
        [*launcher, f"--nproc-per-node={processes}", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=240,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


def configurations(config: RunConfig) -> dict[str, RunConfig]:
    """By the name of what is special in each. Batches of 7 are shared unevenly."""
    training = replace(config.training, precision="fp32", steps=3, batch_size=7, learning_rate=2e-4)
    config = replace(config, training=training)
    teacher = replace(config, objective=replace(config.objective, teacher="constant"))
    sharded = replace(
        training,
        parallel="fsdp" if SHARDS else "ddp",
        views_at_once=7,  # of 3 or 4 images, in one portion or in two
        recompute=True,
        gradient_clip=0.5,
        sample_every=2,
    )
    rotary = replace(config.model, rope_theta=100.0, gated_mlp=True, num_registers=2)
    return {
        "plain": config,
        "accumulate": replace(
            teacher, training=replace(training, batch_size=14, accumulate=2, gradient_clip=0.5)
        ),
        "dense": dense(config),
        "global": replace(config, objective=replace(config.objective, global_alignment="matched")),
        "sharded": replace(teacher, training=sharded),
        "rotary": replace(teacher, model=rotary, training=replace(sharded, sample_every=0)),
        "poisoned": config,
    }


def rows(run: Path) -> list[dict[str, float]]:
    """NaN where it says null, for what is not finite."""
    return [
        {
            name: math.nan if value is None else value
            for name, value in row.items()
            if name != "images_per_second"
        }
        for row in read_metrics(run / METRICS)
    ]


def weights(run: Path) -> dict[str, torch.Tensor]:
    """All but the keys' biases: attention is blind to them, so AdamW walks them at random."""
    tensors = load_file(checkpoints(run)[-1] / WEIGHTS)
    for name, tensor in tensors.items():
        if name.endswith("attn.qkv.bias"):
            tensor[len(tensor) // 3 : 2 * len(tensor) // 3] = 0
    return tensors


def assert_same_runs(ours: Path, theirs: Path) -> None:
    for row, expected in zip(rows(ours), rows(theirs), strict=True):
        assert row == pytest.approx(expected, rel=1e-5, abs=1e-6, nan_ok=True), ours
    torch.testing.assert_close(weights(ours), weights(theirs), rtol=1e-5, atol=1e-5)


@pytest.mark.long
@pytest.mark.parametrize(
    "processes",
    # Three processes share a batch as two do, and less evenly.
    [3, pytest.param(2, marks=pytest.mark.slow)],
)
def test_any_split_gives_the_numbers_of_one_process(
    tmp_path: Path, config: RunConfig, processes: int
) -> None:
    """Losses, health, skipped steps and weights; also of a run that goes from one process to
    several, and back to one.
    """
    names = configurations(config)
    for name, case in names.items():
        (tmp_path / f"{name}.toml").write_text(to_toml(case))

    def jobs(kind: str) -> list[Job]:
        return [
            Job(
                str(tmp_path / f"{name}.toml"),
                str(tmp_path / f"{name}-{kind}"),
                poisoned=1 if name == "poisoned" else -1,
            )
            for name in names
        ]

    moving = Job(str(tmp_path / "sharded.toml"), str(tmp_path / "moving"), stop_at=0)
    for job in (*jobs("one"), moving):
        perform(job)
    write([*jobs("split"), replace(moving, go_on=True, stop_at=1)], tmp_path / "jobs.json")
    script = Path(__file__).with_name("in_processes.py")
    done = torchrun(processes, script, tmp_path / "jobs.json")
    assert done.returncode == 0, done.stderr
    perform(replace(moving, go_on=True, stop_at=-1))
    for name in names:
        assert_same_runs(tmp_path / f"{name}-split", tmp_path / f"{name}-one")
    assert_same_runs(tmp_path / "moving", tmp_path / "sharded-one")
    assert rows(tmp_path / "poisoned-split")[-1]["skipped_steps"] == 1
    assert "non-finite set_alignment" in (tmp_path / "poisoned-split/log.txt").read_text()


@pytest.mark.slow
def test_compiled_and_computed_again_when_sharded(tmp_path: Path, config: RunConfig) -> None:
    """FSDP's hooks stay outside of both."""
    sharded = configurations(config)["sharded"]
    compiled = replace(sharded, training=replace(sharded.training, compile="on"))
    cases = {"sharded": sharded, "compiled": compiled}
    for name, case in cases.items():
        (tmp_path / f"{name}.toml").write_text(to_toml(case))
    write(
        [Job(str(tmp_path / f"{name}.toml"), str(tmp_path / name)) for name in cases],
        tmp_path / "jobs.json",
    )
    script = Path(__file__).with_name("in_processes.py")
    done = torchrun(2, script, tmp_path / "jobs.json")
    assert done.returncode == 0, done.stderr
    assert_same_runs(tmp_path / "compiled", tmp_path / "sharded")
