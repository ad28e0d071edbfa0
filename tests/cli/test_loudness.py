"""What commands say on the way: as usual, less with -q, more with -v; and how they say that they
were stopped, or that the memory is full.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from stellar.cli import main
from stellar.cli.terminal import LOGGER, progress_line

SMALL = (
    "--model.image-size 32 --model.patch-size 8 --model.embed-dim 24 --model.depth 1 "
    "--model.num-heads 2 --model.decoder.embed-dim 16 --model.decoder.depth 1 "
    "--model.decoder.num-heads 2 --views.local-size 16 --views.num-masked 2 --views.num-local 1 "
    "--objective.num-prototypes 16 --training.batch-size 8 --training.num-workers 0 "
    "--training.sample-every 0"
)


@pytest.fixture(autouse=True)
def _as_before():
    level = LOGGER.level
    yield
    LOGGER.setLevel(level)


def test_quiet_training_says_its_results_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = ["pretrain", "--data", "scenes", *SMALL.split(), "--training.steps", "2", "--out"]
    assert main([*run, str(tmp_path / "loud")]) == 0
    loud = capsys.readouterr().out
    assert "2 steps of 8 images" in loud
    assert main([*run, str(tmp_path / "quiet"), "--quiet"]) == 0
    quiet = capsys.readouterr().out
    assert quiet.startswith(f"done: {tmp_path / 'quiet'}\n")
    logs = [(tmp_path / run / "log.txt").read_text() for run in ("loud", "quiet")]
    assert logs[0].count("\n") == logs[1].count("\n") > 0


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs a process of one core")
def test_workers_on_one_core_are_nobodys_concern(tmp_path: Path) -> None:
    """PyTorch warns of them; here warnings are errors."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    try:
        run = ["pretrain", "--data", "scenes", *SMALL.split(), "--training.steps", "1"]
        assert main([*run, "--training.num-workers", "2", "--out", str(tmp_path / "run")]) == 0
    finally:
        os.sched_setaffinity(0, cores)


def test_a_progress_line_says_names_as_they_are_and_goes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # as in a terminal
    with progress_line() as say:
        say("runs/m[/b]: kNN", 1, 2)
    said = capsys.readouterr().out
    assert "runs/m[/b]: kNN" in said
    assert said.endswith("\x1b[2K")  # the line is wiped out


def test_a_progress_line_says_nothing_where_no_terminal_shows_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with progress_line() as say:
        say("pictures", 1, 2)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("flag", ["-q", "--quiet"])
def test_quiet_errors_are_told(capsys: pytest.CaptureFixture[str], flag: str) -> None:
    assert main([flag, "reconstruct", "stellar-scenes", "nowhere"]) == 1
    assert capsys.readouterr().err.startswith("stellar: error: expected a picture")


def test_quiet_leaves_warnings_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.tar").write_bytes(b"")
    Image.new("RGB", (48, 48)).save(tmp_path / "a.png")
    call = ["embed", "stellar-scenes", str(tmp_path), "--out"]
    assert main([*call, str(tmp_path / "loud.parquet")]) == 0
    assert "holds pictures and .tar files" in capsys.readouterr().err
    assert main([*call, str(tmp_path / "quiet.parquet"), "-q"]) == 0
    told = capsys.readouterr()
    assert told.err == ""
    assert told.out == f"1 images -> {tmp_path / 'quiet.parquet'}\n"


def test_verbose_errors_say_where_they_came_from(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reconstruct", "stellar-scenes", "nowhere", "-v"]) == 1
    *trace, last = capsys.readouterr().err.splitlines()
    assert "Traceback (most recent call last):" in trace
    assert last.startswith("stellar: error: expected a picture")


def test_verbose_commands_say_what_they_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.new("RGB", (48, 48)).save(tmp_path / "a.png")
    call = ["embed", "stellar-scenes", str(tmp_path), "-v", "--out", str(tmp_path / "x.parquet")]
    assert main(call) == 0
    told = capsys.readouterr().err
    assert f"info: 1 pictures in {tmp_path}" in told
    assert "info: weights of " in told


def test_a_value_that_begins_with_a_dash_is_told_how_it_is_written(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["search", "photos.index", "--like", "-dash.png", "--count", "-1"])
    assert ended.value.code == 2
    told = capsys.readouterr().err.splitlines()
    assert told[-1] == "if -dash.png is the value of --like: --like=-dash.png"
    with pytest.raises(SystemExit):
        main(["search", "photos.index", "--lik", "dash.png"])
    assert "is the value of" not in capsys.readouterr().err


def test_what_follows_two_dashes_is_no_option(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reconstruct", "stellar-scenes", "--", "-q"]) != 0
    assert "-q" in capsys.readouterr().err


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signal")
@pytest.mark.parametrize("stop", ["SIGTERM", pytest.param("SIGHUP", marks=pytest.mark.slow)])
def test_asked_to_stop_a_command_says_so_and_tidies_up(tmp_path: Path, stop: str) -> None:
    call = [sys.executable, "-m", "stellar", "evaluate", "stellar-scenes", "--data", "scenes"]
    out = tmp_path / "report"
    with subprocess.Popen(
        [*call, "--out", str(out)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        end = time.monotonic() + 60
        while not list(out.rglob("*.npy")):
            assert time.monotonic() < end
            time.sleep(0.05)
        process.send_signal(getattr(signal, stop))
        try:
            _, errors = process.communicate(timeout=60)
        finally:
            process.kill()
    # Python ends by SIGINT itself where it came within an exec, as when a dataclass is made.
    assert process.returncode in (130, -signal.SIGINT)
    assert errors == "stellar: error: interrupted\n"
    assert not out.exists()


LITTLE_MEMORY = """
import resource, sys
from pathlib import Path
import torch, stellar.reconstructing
from stellar.cli import main

used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (300 << 20), -1))
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs a limit of the memory, as on Linux")
def test_a_full_memory_is_a_sentence(tmp_path: Path) -> None:
    Image.new("RGB", (9000, 9000)).save(tmp_path / "large.png")
    call = ["reconstruct", "stellar-scenes", str(tmp_path / "large.png"), "--out"]
    done = subprocess.run(
        [sys.executable, "-c", LITTLE_MEMORY, *call, str(tmp_path / "sheet.png")],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 1, done.stderr
    assert done.stderr.startswith("stellar: error: the memory of this machine is full; lower")
    assert "Traceback" not in done.stderr
