"""The day on a GPU: its whole plan, rehearsed; a step that fails or hangs; and what is kept."""

import os
import subprocess
import sys
import tarfile
import zipfile
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from time import monotonic, sleep

import psutil
import pytest

import gpu_day
import packages
import stellar
from gpu_day import PLAN, as_page, measure
from gpu_results import KEPT, TABLE, Part, as_markdown, kept, read_parts, write_parts
from limits import has_bf16
from plan import Day, Done, Step, run_plan
from profiling import KINDS, by_kind
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


def rehearse(folder: Path, *steps: str) -> Path:
    """A day without a GPU, of these steps or of all: its results. Each step ends well."""
    out = folder / "day"
    command = [sys.executable, str(ROOT / "benchmarks/gpu_day.py"), *steps, "--out", str(out)]
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("a rehearsal at toy sizes on ")
    for name in steps or [step.name for step in PLAN]:
        assert f"| {name} | " in done.stdout
    return out


def test_a_model_comes_back_that_can_be_gone_on_with(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = rehearse(tmp_path, "profile", "scenes")
    assert "| heads | " in (out / "profile.txt").read_text()
    with tarfile.open(out / "scenes.tar") as tar:
        tar.extractall(tmp_path, filter="data")
    assert "training" in (tmp_path / "output.txt").read_text()
    history = stellar.load(tmp_path / "scenes").history
    assert history is not None
    assert history.steps == history.total_steps
    assert main(["pretrain", "--resume", "--out", str(tmp_path / "scenes")]) == 0
    assert "finished already" in capsys.readouterr().out


@pytest.mark.slow
def test_the_whole_plan_is_rehearsed(tmp_path: Path) -> None:
    """Every step leaves what a lent machine gives back: 8 files, 60 MiB."""
    out = rehearse(tmp_path)
    files = {file.name: file.stat().st_size for file in out.iterdir()}
    assert set(files) == {step.file for step in PLAN if step.file} | {TABLE.name}
    assert len(files) <= 8
    assert max(files.values()) < 16 << 20
    assert sum(files.values()) < 60 << 20
    assert " passed" in (out / "tests.txt").read_text().splitlines()[-1]
    page = (out / TABLE.name).read_text()
    assert "### A rehearsal at toy sizes, of no worth as a measurement: " in page
    assert "Not measured" not in page
    for what in ("pack_views", "as a CUDA graph", "stellar evaluate"):
        assert what in page
    assert ("in bf16, toy, by flash" in page) == has_bf16("cpu")
    assert len((out / "compile.txt").read_text().splitlines()) >= 7


@pytest.fixture
def benchmarks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three of them, found by processes that are started."""
    for name, content in (("works", WORKS), ("fails", FAILS), ("hangs", HANGS)):
        (tmp_path / f"{name}.py").write_text(content)
    paths = (str(tmp_path), os.environ.get("PYTHONPATH", ""))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
    for module in ("limited", "plan", "gpu_day"):
        monkeypatch.setattr(f"{module}.GRACE", 0.5)


def run(day: Day, *plan: Step) -> list[Done]:
    return list(run_plan(day, plan, lambda: None))


@pytest.mark.usefixtures("benchmarks")
def test_a_step_that_fails_or_hangs_costs_itself_alone(tmp_path: Path) -> None:
    failing, hanging, late = run(
        Day(tmp_path, toy=True, end=monotonic() + 120),
        Step("failing", 60, measure, "failing.json", ("fails", "works")),
        Step("hanging", 12, measure, "hanging.json", ("hangs",)),
        Step("late", 60, measure, "late.json", ("works",)),
    )
    assert not failing.succeeded
    assert failing.outcome == "2 rows; fails: exit code 1, ValueError: no luck"
    assert not hanging.succeeded
    assert hanging.outcome == "1 rows; hangs: it took more than its 12 s"
    assert 11 < hanging.seconds < 40
    assert (late.succeeded, late.outcome) == (True, "1 rows")
    failed, worked = read_parts(tmp_path / "failing.json")
    assert [row.what for row in failed.rows] == ["half of it"]
    assert "ValueError: no luck" in failed.log
    assert worked.rows == (ROW,)
    assert [row.what for row in read_parts(tmp_path / "hanging.json")[0].rows] == ["the first"]


def test_not_even_a_fault_of_its_own_ends_the_day(tmp_path: Path) -> None:
    def broken(_day: Day, _step: Step, _seconds: float) -> str:
        raise UnicodeDecodeError("utf-8", b"\xe2", 0, 1, "unexpected end")

    def fine(_day: Day, _step: Step, _seconds: float) -> str:
        return "well"

    day = Day(tmp_path, toy=True, end=monotonic() + 60)
    first, second = run(day, Step("a", 30, broken, ""), Step("b", 30, fine, ""))
    assert not first.succeeded
    assert first.outcome.startswith("UnicodeDecodeError: ")
    assert (second.succeeded, second.outcome) == (True, "well")


def test_what_the_day_has_no_time_for_is_not_begun(tmp_path: Path) -> None:
    day = Day(tmp_path, toy=True, end=monotonic() - 1)
    (done,) = run(day, Step("rows", 60, measure, "rows.json", ("works",)))
    assert (done.succeeded, done.outcome) == (False, "not reached: the day was over")
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
        def meet(day: Day, _step: Step, seconds: float) -> str:
            (day.out / own).touch()
            end = monotonic() + seconds
            while not (day.out / other).exists():
                assert monotonic() < end
            return "met"

        return Step(own, 30, meet, "", beside=own == "b")

    day = Day(tmp_path, toy=True, end=monotonic() + 60)
    assert [done.outcome for done in run(day, wait_for("b", "a"), wait_for("a", "b"))] == [
        "met"
    ] * 2


def part(module: str, machine: str, *rows: Row, failed: str = "", toy: bool = False) -> Part:
    return Part(module, machine, "1 May 2027", toy, rows, failed)


def test_rows_of_a_day_replace_earlier_ones_of_the_same_benchmarks() -> None:
    old = [part("works", "H100", ROW), part("fails", "H100", ROW), part("hangs", "H100")]
    faster = part("works", "H200", replace(ROW, value=9.0)).ended("", log="long")
    half = part("fails", "H200", ROW, failed="no luck")
    first = part("hangs", "H200", ROW, failed="late")
    parts, left = kept(old, [faster, half, first])
    assert parts == [replace(faster, log=""), old[1], first]
    assert left == [half], "half of the rows do not take the place of all"
    told = {"fails": "One.", "works": "Two.", "hangs": "Three.", "new": "Four."}
    page = as_markdown([*parts, part("gone", "H100", ROW)], told)
    assert page.index("### H100; 1 May") < page.index("### H200; 1 May")
    assert page.index("### H200; 1 May") < page.index("### Not measured")
    assert "| 1 | work | images/s | 2 | 9 | 4.5 |" in page
    assert "| `hangs` | Three. | from where it failed on: late |" in page
    assert "| `new` | Four. | not measured |" in page


def test_a_part_is_read_as_it_was_written(tmp_path: Path) -> None:
    parts = [
        part("works", "here", ROW, replace(ROW, limit=4.0)),
        part("fails", "here", toy=True).ended("no luck", "log"),
    ]
    write_parts(tmp_path / "parts.json", parts)
    assert read_parts(tmp_path / "parts.json") == parts
    assert [file.name for file in tmp_path.iterdir()] == ["parts.json"]


def test_only_rows_of_a_day_are_kept(tmp_path: Path) -> None:
    before, file = KEPT.read_text(), tmp_path / "rows.json"
    for content, said in (
        (None, "holds no rows of a day: --keep takes the folder that one wrote"),
        ([part("heads", "here", failed="no luck")], "holds no rows of a day"),
        ([part("heads", "here", ROW, toy=True)], "holds a rehearsal at toy sizes"),
    ):
        if content is not None:
            write_parts(file, content)
        with pytest.raises(SystemExit, match=said):
            gpu_day.keep(tmp_path)
    file.write_text('[{"module": "heads"}]')
    with pytest.raises(SystemExit, match="holds a file of rows that cannot be read"):
        gpu_day.keep(tmp_path)
    assert KEPT.read_text() == before


def test_a_day_makes_room_and_a_rehearsal_does_not_take_its_place(tmp_path: Path) -> None:
    (tmp_path / "step.json").write_text("of another version")
    with pytest.raises(SystemExit, match=r"cannot be read .* delete it, or name another folder"):
        gpu_day.make_room(tmp_path, PLAN, toy=True)
    write_parts(tmp_path / "step.json", [part("settings", "H100", ROW)])
    gpu_day.make_room(tmp_path, PLAN, toy=False)
    assert not list(tmp_path.iterdir())
    write_parts(tmp_path / "rows.json", [part("heads", "H200", ROW)])
    with pytest.raises(SystemExit, match="holds the rows of a day; rehearse into another --out"):
        gpu_day.make_room(tmp_path, PLAN, toy=True)
    with pytest.raises(SystemExit, match=r"cannot be written \(.*\); choose another --out"):
        gpu_day.make_room(tmp_path / "rows.json/day", PLAN, toy=False)


def test_the_table_of_the_repository_is_written_and_never_edited() -> None:
    """Every row is a kept one; every benchmark of the plan without rows is named."""
    assert TABLE.read_text() == as_page(read_parts(KEPT))


def test_kernels_are_told_apart_by_their_names() -> None:
    names = {
        "attention": (
            "cudnn_generated_fort_native_sdpa_sm90_flash_fprop_wgmma_f16_knob_7_64x64x64",
            "void pytorch_flash::convert_dq_to_16bits",
            "fmha_cutlassF_bf16_aligned_64x64_rf_sm80",
        ),
        "convolutions": ("sm90_xmma_fprop_implicit_gemm_bf16bf16_bf16f32", "aten::convolution"),
        "products of matrices": ("nvjet_tst_256x128_64x4_1x2_h_bz_coopB_TNT", "aten::addmm"),
        "compiled": ("triton_poi_fused_convolution_silu_3", "triton_red_fused_linear_add_7"),
        "the rest": ("void at::native::vectorized_elementwise_kernel",),
    }
    assert set(names) - {"the rest"} <= set(KINDS)
    for kind, kernels in names.items():
        for kernel in kernels:
            assert list(by_kind(Counter({kernel: 1}))) == [kind], kernel


def write_wheel(folder: Path, module: str, tag: str = "py3-none-any") -> None:
    """A wheel with one empty module."""
    about = f"{module}-1.dist-info"
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(folder / f"{module}-1-{tag}.whl", "w") as wheel:
        wheel.writestr(f"{module}.py", "")
        wheel.writestr(f"{about}/METADATA", f"Metadata-Version: 2.1\nName: {module}\nVersion: 1\n")
        wheel.writestr(
            f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{about}/RECORD", f"{module}.py,,\n{about}/METADATA,,\n{about}/WHEEL,,\n")


def test_missing_packages_come_from_wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setenv("PYTHONPATH", "")
    monkeypatch.setattr(packages, "NEEDED", ("torch", "brought_along"))
    monkeypatch.setattr(packages, "WHEELS", tmp_path / "wheels")
    with pytest.raises(SystemExit, match=r"lacks brought_along: .* make gpu-day-wheels"):
        packages.bring_packages(tmp_path / "site")
    write_wheel(tmp_path / "wheels", "brought_along", tag="cp27-none-any")
    with pytest.raises(SystemExit, match=r"cannot be installed for Python 3.* make them anew"):
        packages.bring_packages(tmp_path / "site")
    next((tmp_path / "wheels").iterdir()).unlink()
    write_wheel(tmp_path / "wheels", "brought_along")
    packages.bring_packages(tmp_path / "site")
    assert str(tmp_path / "site") in os.environ["PYTHONPATH"].split(os.pathsep)
    assert packages.missing() == []
