"""The day on a GPU: its whole plan, rehearsed; a step that fails or hangs; and what is kept."""

import os
import subprocess
import sys
import tarfile
import zipfile
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from time import monotonic, sleep

import psutil
import pytest

import gpu_day
import stellar
from gpu_day import PLAN, Day, Step, live, measure
from gpu_results import KEPT, TABLE, Part, as_markdown, kept, read_parts, write_parts
from stellar.cli import main
from table import Row

ROOT = Path(__file__).parents[1]
WORKS = """
from table import Row

def rows(toy=False):
    yield Row("work", "images/s", 3.0 if toy else 4.0, 2.0, None)
"""
FAILS = """
from table import Row

def rows(toy=False):
    yield Row("half of it", "images/s", 3.0, 2.0, None)
    raise ValueError("no luck")
"""
HANGS = """
import subprocess, sys, time
from table import Row

def rows(toy=False):
    yield Row("the first", "images/s", 3.0, 2.0, None)
    subprocess.run([sys.executable, "-c", "import time; time.sleep(600)"])
"""
ROW = Row("work", "images/s", 3.0, 2.0, None)


@pytest.mark.long
def test_the_whole_plan_is_rehearsed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every step ends well, and leaves what a lent machine gives back: 8 files, 60 MiB."""
    out = tmp_path / "day"
    command = [sys.executable, str(ROOT / "benchmarks/gpu_day.py"), "--out", str(out)]
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("a rehearsal at toy sizes on ")
    for step in PLAN:
        assert f"| {step.name} | " in done.stdout
    files = {file.name: file.stat().st_size for file in out.iterdir()}
    assert set(files) == {step.file for step in PLAN if step.file} | {TABLE.name}
    assert len(files) <= 8
    assert max(files.values()) < 16 << 20
    assert sum(files.values()) < 60 << 20
    assert " passed" in (out / "tests.txt").read_text().splitlines()[-1]
    assert "| heads | " in (out / "profile.txt").read_text()
    page = (out / TABLE.name).read_text()
    assert "### A rehearsal at toy sizes, of no worth as a measurement: " in page
    assert "Not measured" not in page
    for what in ("pack_views", "as a CUDA graph", "in bf16, toy, by flash", "stellar evaluate"):
        assert what in page
    with tarfile.open(out / "scenes.tar") as tar:
        tar.extractall(tmp_path, filter="data")
    history = stellar.load(tmp_path / "scenes").history
    assert history is not None
    assert history.steps == history.total_steps
    assert main(["pretrain", "--resume", "--out", str(tmp_path / "scenes")]) == 0
    assert "finished already" in capsys.readouterr().out


@pytest.fixture
def benchmarks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three of them, found by processes that are started."""
    for name, content in (("works", WORKS), ("fails", FAILS), ("hangs", HANGS)):
        (tmp_path / f"{name}.py").write_text(content)
    paths = (str(tmp_path), os.environ.get("PYTHONPATH", ""))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
    monkeypatch.setattr(gpu_day, "LEAST", 0.1)


@pytest.mark.usefixtures("benchmarks")
def test_a_step_that_fails_or_hangs_costs_itself_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = (
        Step("failing", 60, measure, "failing.json", ("fails", "works")),
        Step("hanging", 4, measure, "hanging.json", ("hangs",)),
        Step("late", 60, measure, "late.json", ("works",)),
    )
    day = Day(tmp_path, toy=True, end=monotonic() + 60)
    first, second, third = live(day, plan)
    assert not first.well
    assert first.came == "2 rows; fails: exit code 1, ValueError: no luck"
    assert not second.well
    assert second.came == "1 rows; hangs: it took more than its 4 s"
    assert second.seconds < 30
    assert (third.well, third.came) == (True, "1 rows")
    failed, worked = read_parts(tmp_path / "failing.json")
    assert [row.what for row in failed.rows] == ["half of it"]
    assert "ValueError: no luck" in failed.log
    assert worked.rows == (ROW,)
    assert [row.what for row in read_parts(tmp_path / "hanging.json")[0].rows] == ["the first"]
    assert "late            " in capsys.readouterr().out


def test_what_the_day_has_no_time_for_is_not_begun(tmp_path: Path) -> None:
    day = Day(tmp_path, toy=True, end=monotonic() - 1)
    (done,) = live(day, [Step("rows", 60, measure, "rows.json", ("works",))])
    assert (done.well, done.came) == (False, "not reached: the day was over")
    assert not (tmp_path / "rows.json").exists()


def test_a_day_that_is_stopped_leaves_no_process(tmp_path: Path) -> None:
    """Asked to end by a signal while its tests run, it ends them too."""
    command = [sys.executable, str(ROOT / "benchmarks/gpu_day.py"), "tests", "--out", str(tmp_path)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as day:
        end = monotonic() + 60
        while not (tests := pytest_of(day)):
            assert monotonic() < end
            sleep(0.05)
        day.terminate()
        _, said = day.communicate(timeout=60)
    assert day.returncode == 130
    assert said == f"stopped; what was measured until now is in {tmp_path}\n"
    _, alive = psutil.wait_procs(tests, timeout=30)
    assert not alive


def pytest_of(day: subprocess.Popen[str]) -> list[psutil.Process]:
    """pytest, once the day has begun it."""
    found = []
    for child in psutil.Process(day.pid).children():
        with suppress(psutil.Error):
            found += [child] * ("pytest" in child.cmdline())
    return found


def test_steps_that_are_not_timed_run_beside_each_other(tmp_path: Path) -> None:
    def wait_for(other: str, own: str) -> Step:
        def run(day: Day, _step: Step, seconds: float) -> str:
            (day.out / own).touch()
            end = monotonic() + seconds
            while not (day.out / other).exists():
                assert monotonic() < end
            return "met"

        return Step(own, 30, run, beside=own == "b")

    day = Day(tmp_path, toy=True, end=monotonic() + 60)
    assert [done.came for done in live(day, [wait_for("b", "a"), wait_for("a", "b")])] == [
        "met"
    ] * 2


def test_rows_of_a_day_replace_earlier_ones_of_the_same_benchmarks() -> None:
    old = [Part(name, "H100", False, (ROW,)) for name in ("works", "fails")]
    old.append(Part("hangs", "H100", False))
    faster = Part("works", "H200", False, (replace(ROW, value=9.0),), log="long")
    new = [faster, Part("fails", "H200", False, failed="no luck")]
    parts = kept(old, new)
    assert parts == [replace(faster, log=""), old[1], old[2]]
    page = as_markdown(parts, {"fails": "One.", "works": "Two.", "hangs": "Three.", "new": "Four."})
    assert page.index("### H100") < page.index("### H200") < page.index("### Not measured")
    assert "| 1 | work | images/s | 2 | 9 | 4.5 |" in page
    for missing in ("| `hangs` | Three. | not measured |", "| `new` | Four. | not measured |"):
        assert missing in page


def test_a_part_is_read_as_it_was_written(tmp_path: Path) -> None:
    rows = (ROW, replace(ROW, limit=4.0))
    parts = [Part("works", "here", False, rows), Part("fails", "here", True, (), "no luck", "log")]
    write_parts(tmp_path / "parts.json", parts)
    assert read_parts(tmp_path / "parts.json") == parts


def test_a_rehearsal_is_not_kept(tmp_path: Path) -> None:
    before = KEPT.read_text()
    write_parts(tmp_path / "rows.json", [Part("heads", "here", True, (ROW,))])
    with pytest.raises(SystemExit, match=r"nothing of .* is kept: a rehearsal at toy sizes"):
        gpu_day.keep(tmp_path)
    with pytest.raises(SystemExit, match="is no folder: --keep takes the one that a day wrote"):
        gpu_day.keep(tmp_path / "gone")
    assert KEPT.read_text() == before


def test_the_table_of_the_repository_is_written_and_never_edited() -> None:
    """Every row is a kept one; every benchmark of the plan without rows is named."""
    page = as_markdown(read_parts(KEPT), {m: gpu_day.tells(m) for m in gpu_day.MODULES})
    assert TABLE.read_text() == page


def write_wheel(folder: Path, module: str) -> None:
    """A wheel with one empty module."""
    about = f"{module}-1.dist-info"
    folder.mkdir()
    with zipfile.ZipFile(folder / f"{module}-1-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{module}.py", "")
        wheel.writestr(f"{about}/METADATA", f"Metadata-Version: 2.1\nName: {module}\nVersion: 1\n")
        wheel.writestr(
            f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{about}/RECORD", f"{module}.py,,\n{about}/METADATA,,\n{about}/WHEEL,,\n")


def test_missing_packages_come_from_wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setenv("PYTHONPATH", "")
    monkeypatch.setattr(gpu_day, "NEEDED", ("torch", "brought_along"))
    monkeypatch.setattr(gpu_day, "WHEELS", tmp_path / "wheels")
    with pytest.raises(SystemExit, match=r"lacks brought_along: .* make gpu-day-wheels"):
        gpu_day.bring_packages(tmp_path / "site")
    write_wheel(tmp_path / "wheels", "brought_along")
    gpu_day.bring_packages(tmp_path / "site")
    assert str(tmp_path / "site") in os.environ["PYTHONPATH"].split(os.pathsep)
    assert gpu_day.missing() == []
