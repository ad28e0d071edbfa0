"""A process that fails ends the others, soon and with its own reason; what was saved goes on."""

import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from stellar.config import RunConfig
from stellar.config_toml import to_toml
from stellar.model.files.locating import checkpoints
from stellar.training.run_folder import METRICS

SECONDS = 60
"""Within which all processes end once one has failed; far less, on a machine that is not busy."""


@contextmanager
def slurm_tasks(
    *calls: Sequence[str | Path], file_size: int = resource.RLIM_INFINITY
) -> Iterator[list[subprocess.Popen[str]]]:
    """Processes as `srun` would start them, with a call each: SLURM's variables, and nobody who
    ends the others. The first process can write no file larger than `file_size`.
    """
    outside = {k: v for k, v in os.environ.items() if k not in ("RANK", "WORLD_SIZE")}
    port = str(20_000 + os.getpid() % 10_000)
    tasks = []
    for rank, call in enumerate(calls):
        slurm = {
            "SLURM_STEP_NUM_TASKS": str(len(calls)),
            "SLURM_PROCID": str(rank),
            "SLURM_LOCALID": str(rank),
            "SLURM_STEP_NODELIST": "localhost,node[03-05,9]",
            "SLURM_JOB_ID": port,
        }
        tasks.append(
            subprocess.Popen(
                [sys.executable, "-m", "stellar", *map(str, call)],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                env=outside | slurm | {"OMP_NUM_THREADS": "1"},
            )
        )
    resource.prlimit(tasks[0].pid, resource.RLIMIT_FSIZE, (file_size, file_size))
    try:
        yield tasks
    finally:
        for task in tasks:
            task.kill()
            task.wait()


def endings(tasks: list[subprocess.Popen]) -> list[tuple[int, str, str]]:
    """Exit code, output and errors of all."""
    ends = []
    for task in tasks:
        output, errors = task.communicate(timeout=SECONDS)
        ends.append((task.returncode, output, errors))
    return ends


def wait_for(condition, tasks: list[subprocess.Popen]) -> None:
    end = time.monotonic() + 120
    while not condition():
        assert all(task.poll() is None for task in tasks), endings(tasks)
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.fixture
def endless(tmp_path: Path, config: RunConfig) -> Path:
    """The file of a run that does not end by itself, of a folder of pictures."""
    from PIL import Image

    (tmp_path / "photos").mkdir()
    for number in range(12):
        Image.new("RGB", (24, 20), (20 * number, 90, 200)).save(tmp_path / f"photos/{number}.png")
    training = replace(config.training, steps=100_000, checkpoint_every=5, log_every=5)
    config = replace(config, data=str(tmp_path / "photos"), training=training)
    (tmp_path / "run.toml").write_text(to_toml(config))
    return tmp_path / "run.toml"


@pytest.mark.long
def test_srun_stop_go_on_and_kill(tmp_path: Path, endless: Path) -> None:
    """Pre-emption: all are asked to stop, save and leave with 130. Then one is killed."""
    run = tmp_path / "run"
    start = ["pretrain", "--config", endless, "--out", run]
    with slurm_tasks(start, start) as tasks:
        wait_for(lambda: (run / METRICS).exists(), tasks)
        for task in tasks:
            task.send_signal(signal.SIGTERM)
        first, second = endings(tasks)
    assert (first[0], second[0]) == (130, 130), (first, second)
    assert "go on with: stellar pretrain" in first[1]
    own = [line for line in second[1].splitlines() if not line.startswith("[Gloo]")]  # torch 2.10
    assert (own, second[2]) == ([], ""), "only the first process prints"
    saved = len(checkpoints(run))
    assert saved
    go_on = ["pretrain", "--out", run, "--resume"]
    with slurm_tasks(go_on, go_on) as tasks:
        before = checkpoints(run)[-1]
        wait_for(lambda: checkpoints(run)[-1] > before, tasks)
        tasks[1].kill()
        first, second = endings(tasks)
    assert (first[0], second[0]) == (1, -signal.SIGKILL)
    assert "process 0 lost another one, which gave no reason" in first[2]
    assert "Traceback" not in first[2]


@pytest.mark.long
def test_a_stuck_process_is_noticed_after_a_time_that_can_be_set(
    tmp_path: Path, endless: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STELLAR_RANK_TIMEOUT", "6")
    run = tmp_path / "run"
    start = ["pretrain", "--config", endless, "--out", run]
    with slurm_tasks(start, start) as tasks:
        wait_for(lambda: (run / METRICS).exists(), tasks)
        tasks[1].send_signal(signal.SIGSTOP)
        (_, _, errors), *_ = endings(tasks[:1])
        tasks[1].kill()
        endings(tasks[1:])
    assert tasks[0].returncode == 1, errors
    assert "process 0 lost another one, which gave no reason; it was killed or is stuck" in errors
    assert "Traceback" not in errors


def test_a_failure_before_the_first_step_is_that_of_all(tmp_path: Path, endless: Path) -> None:
    start = ["pretrain", "--config", endless, "--out", tmp_path / "run"]
    with slurm_tasks(start, [*start, "--data", tmp_path / "nowhere"]) as tasks:
        first, second = endings(tasks)
    assert (first[0], second[0]) == (1, 1)
    assert "nowhere does not exist" in second[2]
    assert f"error: process 1 failed: {second[2].partition('error: ')[2]}" in first[2]
    assert not (tmp_path / "run").exists()


@pytest.mark.long
def test_a_failure_in_a_step_is_that_of_all(tmp_path: Path, endless: Path) -> None:
    """The second machine's pictures vanish. Then the first machine's disk is full."""
    other, run = tmp_path / "other", tmp_path / "run"
    shutil.copytree(tmp_path / "photos", other)
    start = ["pretrain", "--config", endless, "--out", run]
    with slurm_tasks(start, [*start, "--data", other]) as tasks:
        wait_for(lambda: (run / METRICS).exists(), tasks)
        for picture in other.iterdir():
            picture.unlink()
        first, second = endings(tasks)
    assert (first[0], second[0]) == (1, 1)
    assert "none of 12 images in a row could be read" in second[2]
    assert f"error: process 1 failed: {second[2].partition('error: ')[2]}" in first[2]
    start = ["pretrain", "--config", endless, "--out", tmp_path / "full"]
    with slurm_tasks(start, start, file_size=1 << 16) as tasks:
        first, second = endings(tasks)
    assert (first[0], second[0]) == (1, 1)
    assert "File too large" in first[2]
    assert "error: process 0 failed:" in second[2]
    assert "File too large" in second[2]


def test_other_commands_refuse_several_processes() -> None:
    call = ["evaluate", "model", "photos"]
    with slurm_tasks(call, call) as tasks:
        for code, output, errors in endings(tasks):
            assert (code, output) == (1, "")
            assert "stellar evaluate runs in one process" in errors
