"""What each process of a launch does in test_distributed.py: the runs that a file lists, one after
the other. One launch serves them all, since starting it takes longer than they do.
"""

import json
import os
import signal
import subprocess
import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch

from stellar.config import RunConfig
from stellar.config_toml import read_run_config, to_toml
from stellar.processes import sharded
from stellar.processes.exchange import process_group
from stellar.processes.launch import own_ranks
from stellar.training import pretrain, resume
from stellar.training.loop import Training
from stellar.training.run_folder import METRICS, read_metrics

COMPILED = "compiled_graphs"
sharded.LARGE = 64  # of a model this small, too, some gradients are exchanged by themselves


@dataclass(frozen=True)
class Job:
    """A run of a configuration file's name, or the rest of it."""

    config: str
    out: str
    go_on: bool = False
    stop_at: int = -1
    """The step in which the last process is asked to stop."""
    poisoned: int = -1
    """The step in which the last process sees NaN."""


def perform(job: Job) -> None:
    """In this process, which may be one of several."""
    original, ranks = Training.run_step, own_ranks()
    last = ranks.rank == ranks.world_size - 1

    def disturbed(self: Training, views, share: float):
        step = self.counters.step
        if step == job.stop_at and last:
            os.kill(os.getpid(), signal.SIGTERM)
        if step == job.poisoned and last:
            views = replace(views, masked=views.masked * float("nan"))
        return original(self, views, share)

    Training.run_step = disturbed
    try:
        if job.go_on:
            resume(job.out)
        else:
            pretrain(read_run_config(Path(job.config)), job.out)
    finally:
        Training.run_step = original


def losses_elsewhere(runs: dict[str, RunConfig], folder: Path) -> list[list[tuple[float, float]]]:
    """Loss and gradient norm of each run's steps, taken in a process of its own, without the checks
    of shapes that tests come with: they cannot be compiled. What is compiled is in the folder.
    """
    for name, run in runs.items():
        (folder / f"{name}.toml").write_text(to_toml(run))
    write([Job(str(folder / f"{name}.toml"), str(folder / name)) for name in runs], folder / "jobs")
    environment = os.environ | {"TORCHINDUCTOR_CACHE_DIR": str(folder / COMPILED)}
    if not torch.cuda.is_available():
        # Compiled sooner: without vector instructions, and without workers that import torch.
        environment |= {"TORCHINDUCTOR_VEC_ISA_OK": "0", "TORCHINDUCTOR_COMPILE_THREADS": "1"}
    command = [sys.executable, __file__, folder / "jobs"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return [
        [(row["loss"], row["gradient_norm"]) for row in read_metrics(folder / name / METRICS)]
        for name in runs
    ]


def write(jobs: list[Job], path: Path) -> None:
    path.write_text(json.dumps([asdict(job) for job in jobs]))


if __name__ == "__main__":
    with process_group(own_ranks(), torch.device("cpu")):
        for entry in json.loads(Path(sys.argv[1]).read_text()):
            perform(Job(**entry))
