"""All that only a GPU can tell, by one command of less than nine minutes.

    make gpu-day                                        the whole plan, into gpu-day/
    python benchmarks/gpu_day.py rows scenes            some of its steps, after a day cut short
    python benchmarks/gpu_day.py --keep gpu-day         its rows into benchmarks/results, to commit

A plan of steps in order of worth, each a process of its own, or some, with a result file of its
own. Without a GPU the same plan is rehearsed at toy sizes, so that nothing is reached for the first
time on the day. Nothing need be installed: see `packages.py`.
"""

import argparse
import ast
import os
import subprocess
import sys
import tarfile
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))
sys.path.insert(0, str(Path(__file__).parent))

from gpu_results import KEPT, TABLE, Part, as_markdown, kept, read_parts, write_parts
from limited import GRACE, Limited, end_with_this_process
from packages import ROOT, bring_packages
from plan import Day, Done, Step, StepFailed, run_plan
from rows_process import Failed, rows_of, why
from table import Row, machine, table, versions

HERE = Path(__file__).resolve().parent
DAY_SECONDS = 530.0
"""Of the whole plan."""
MODULE_SECONDS = 110.0
"""Most seconds of one benchmark in a step of several."""
PATIENCE = 4
"""Times as long a rehearsal may take, of which nothing is measured: some machines are slow."""


def run_tests(day: Day, step: Step, seconds: float) -> str:
    """All tests that need a GPU, in four processes where that can be. Each is named as it ends, for
    a run that is cut off; under other versions than ours, a warning is no error.
    """
    files = sorted((ROOT / "tests").rglob("test_on_a_gpu.py"))
    options = ["-p", "no:cacheprovider", "-W", "default", "-ra", "-v"]
    if find_spec("xdist") and not day.toy:
        options += ["-n", "4"]
    command = [sys.executable, "-m", "pytest", *options, *map(str, files)]
    return listen(command, day.out / step.file, seconds, rehearsal=day.toy)[-1].strip("= ")


def fill_compile_cache(day: Day, step: Step, seconds: float) -> str:
    """So that what is timed seldom waits for the compiler; large and small batches at once, since
    much of it takes one core.
    """
    batches = ("large", "small")
    options = ["--toy"] * day.toy
    commands = [script("settings.py", "--compile", batch, *options) for batch in batches]
    with (day.out / step.file).open("w") as out:
        running = [Limited(c, seconds, stdout=out, stderr=out, cwd=ROOT) for c in commands]
        for limited in running:
            with limited:
                pass
    said = (day.out / step.file).read_text(errors="replace").strip()
    count = sum("first step" in line for line in said.splitlines())
    for limited in running:
        if limited.process.returncode:
            raise StepFailed(f"{count} ways of a step; {why(limited, seconds, said)}")
    return f"{count} ways of a step"


def profile(day: Day, step: Step, seconds: float) -> str:
    preset, batch = ("toy", "2") if day.toy else ("b16", "128")
    command = script("training_step.py", "--profile", "--preset", preset, "--batch", batch)
    said = listen(command, day.out / step.file, seconds)
    return next((line for line in said if line.startswith("one step")), said[-1])


def script(name: str, *options: str) -> list[str]:
    return [sys.executable, str(HERE / name), *options]


def measure(day: Day, step: Step, seconds: float) -> str:
    """The rows of the step's benchmarks; its file is whole after each of them."""
    end, parts = monotonic() + seconds, []
    for module in step.modules:
        parts.append(part_of(module, day.toy, min(MODULE_SECONDS, end - monotonic())))
        write_parts(day.out / step.file, parts)
    said = f"{sum(len(part.rows) for part in parts)} rows"
    if failed := [f"{part.module}: {part.failed}" for part in parts if part.failed]:
        raise StepFailed(f"{said}; {'; '.join(failed)}")
    return said


def part_of(module: str, toy: bool, seconds: float) -> Part:
    """A benchmark's rows, or those that came before it failed."""
    rows: list[Row] = []
    part = Part(module, f"{machine()}; {versions()}", f"{date.today():%d %B %Y}", toy)
    if seconds < 2 * GRACE:
        return part.ended("not reached: its step was over")
    try:
        for row in rows_of(module, toy, seconds):
            rows.append(row)
    except Failed as failure:
        return part.with_rows(rows).ended(str(failure), failure.log)
    return part.with_rows(rows)


def train_scenes(day: Day, step: Step, seconds: float) -> str:
    """The model that comes with the package, for all the time there is: a run that goes on from its
    newest checkpoint, and ships once it is finished.
    """
    with TemporaryDirectory() as name:
        folder = Path(name)
        options = ("--seconds", f"{seconds - 2 * GRACE:.0f}", *["--toy"] * day.toy)
        try:
            listen(script("scenes.py", name, *options), folder / "output.txt", seconds)
            how = "finished"
        except StepFailed as failure:
            how = f"to go on with, since {failure}"
        run = folder / "scenes"
        checkpoints = sorted((run / "checkpoints").glob("step-*"))
        files = [path for path in run.glob("[!.]*") if path.is_file()]
        with tarfile.open(day.out / step.file, "w") as tar:
            for path in (folder / "output.txt", *files, *checkpoints[-1:]):
                tar.add(path, path.relative_to(folder))
    if not checkpoints:
        raise StepFailed(f"no checkpoint yet: {how}")
    return f"{checkpoints[-1].name}, {how}"


def listen(
    command: list[str], file: Path, seconds: float, rehearsal: bool = False
) -> Sequence[str]:
    """The lines that a command says, which the file holds. Raises StepFailed when it ends early."""
    environment = os.environ | ({"STELLAR_REHEARSAL": "1"} if rehearsal else {})
    with (
        file.open("w") as out,
        Limited(
            command, seconds, stdout=out, stderr=subprocess.STDOUT, cwd=ROOT, env=environment
        ) as limited,
    ):
        pass
    said = file.read_text(errors="replace").strip()  # one that was killed may end in half a letter
    if limited.process.returncode:
        raise StepFailed(why(limited, seconds, said))
    return said.splitlines() or ["nothing was said"]


ROWS = (
    "attention", "heads", "tokenizer", "loader", "linear_probe", "embedding", "evaluation",
    "limits",
)  # fmt: skip
PLAN = (
    Step("tests", 150, run_tests, "tests.txt"),
    Step("compile", 150, fill_compile_cache, "compile.txt", beside=True),
    Step("pretraining", 110, measure, "pretraining.json", ("pretraining",)),
    Step("step", 150, measure, "step.json", ("settings", "training_step")),
    Step("profile", 40, profile, "profile.txt"),
    Step("rows", 160, measure, "rows.json", ROWS),
    Step("scenes", DAY_SECONDS, train_scenes, "scenes.tar"),
)
MODULES = tuple(module for step in PLAN for module in step.modules)


def parts_in(folder: Path) -> list[Part]:
    """All rows of a day. Raises SystemExit for files that are no rows."""
    files = (step.file for step in PLAN if step.modules)
    try:
        return [part for file in files for part in read_parts(folder / file)]
    except (ValueError, KeyError, TypeError) as error:
        raise SystemExit(
            f"{folder} holds a file of rows that cannot be read ({error}): delete it, or name "
            "another folder"
        ) from error


def as_page(parts: Sequence[Part]) -> str:
    """The table of these rows, and what no day has measured."""
    return as_markdown(parts, {module: first_sentence(module) for module in MODULES})


def first_sentence(module: str) -> str:
    """What a benchmark says of itself."""
    said = ast.get_docstring(ast.parse((HERE / f"{module}.py").read_text())) or ""
    return " ".join(said.partition("\n\n")[0].split())


def keep(folder: Path) -> None:
    """A day's rows in the place of earlier ones of the same benchmarks, and the table of all."""
    new = parts_in(folder)
    if not any(part.rows for part in new):
        raise SystemExit(f"{folder} holds no rows of a day: --keep takes the folder that one wrote")
    if any(part.toy for part in new):
        raise SystemExit(f"{folder} holds a rehearsal at toy sizes, which measures nothing")
    parts, left = kept(read_parts(KEPT), new)
    write_parts(KEPT, parts)
    TABLE.write_text(as_page(parts))
    for part in left:
        print(f"the older rows of {part.module} stay: it ended early ({part.failed})")
    print(f"{len(parts)} benchmarks in {KEPT}")


def main() -> int:
    names = [step.name for step in PLAN]
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("steps", nargs="*", metavar="STEP", help=f"of {', '.join(names)}")
    parser.add_argument("--out", type=Path, default=Path("gpu-day"), help="a folder for everything")
    parser.add_argument("--toy", action="store_true", help="rehearse, also where there is a GPU")
    parser.add_argument("--seconds", type=float, default=DAY_SECONDS, help="of the whole plan")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="keep what a day measured")
    options = parser.parse_args()
    if options.keep:
        keep(options.keep)
        return 0
    if unknown := [name for name in options.steps if name not in names]:
        parser.error(f"no step is called {', '.join(unknown)}; there are {', '.join(names)}")
    end_with_this_process()
    try:
        return run_day(options)
    except KeyboardInterrupt:
        print(f"stopped; what was measured until now is in {options.out}", file=sys.stderr)
        return 130


def run_day(options: argparse.Namespace) -> int:
    """The plan, or the steps that were asked for, and what came of each in a table; 1 if one ended
    early.
    """
    toy = options.toy or not torch.cuda.is_available()
    patience = PATIENCE if toy else 1
    end = monotonic() + patience * options.seconds
    plan = [
        replace(step, seconds=patience * step.seconds)
        for step in PLAN
        if not options.steps or step.name in options.steps
    ]
    make_room(options.out, plan, toy)
    with TemporaryDirectory() as folder:
        bring_packages(Path(folder))
        if toy:
            os.environ.setdefault("OMP_NUM_THREADS", "1")  # small steps, some beside each other
        print(f"{'a rehearsal at toy sizes' if toy else 'the plan'} on {machine()}", flush=True)
        out, done = options.out.resolve(), []

        def write_table() -> None:
            (out / TABLE.name).write_text(as_page(parts_in(out)))

        for each in run_plan(Day(out, toy, end), plan, write_table):
            print(f"{each.step.name:<12} {each.seconds:>4.0f} s  {each.outcome}", flush=True)
            done.append(each)
    print(f"\n{summary(done)}\n\n{options.out}")
    return 0 if all(each.succeeded for each in done) else 1


def make_room(out: Path, plan: Sequence[Step], toy: bool) -> None:
    """A folder without what these steps are going to write. Raises SystemExit where it cannot be,
    or where a rehearsal would take the place of a day.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        if toy and any(not part.toy for part in parts_in(out)):
            raise SystemExit(f"{out} holds the rows of a day; rehearse into another --out")
        for step in plan:
            (out / step.file).unlink(missing_ok=True)
    except OSError as error:
        raise SystemExit(
            f"{out} cannot be written ({error.strerror}); choose another --out"
        ) from error


def summary(done: Sequence[Done]) -> str:
    """What became of every step."""
    lines = [
        (d.step.name, f"{d.seconds:.0f}", "yes" if d.succeeded else "no", d.outcome, d.step.file)
        for d in done
    ]
    return table(("step", "s", "well", "what came of it", "file"), lines)


if __name__ == "__main__":
    sys.exit(main())
