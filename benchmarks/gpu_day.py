"""All that only a GPU can tell, by one command of less than nine minutes.

    make gpu-day                                        the whole plan, into gpu-day/
    python benchmarks/gpu_day.py rows scenes            some of its steps, after a day cut short
    python benchmarks/gpu_day.py --keep gpu-day         its rows into benchmarks/results, to commit

A plan of steps in order of worth. Each is a process of its own, or some, with its own seconds and
its own result file, so that one that fails, hangs or is slow costs nothing but itself. Without a
GPU the same plan is rehearsed at toy sizes, so that nothing is reached for the first time on the
day.

The package need not be installed, and there may be no network: it is taken from src, and what else
the Python lacks from the wheels in .wheels (`make gpu-day-wheels`).
"""

import argparse
import ast
import os
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic

import torch

sys.path.insert(0, str(Path(__file__).parent))

from gpu_results import KEPT, TABLE, Part, as_markdown, kept, read_parts, write_parts
from limited import Limited, end_with_this_process
from rows_process import Failed, rows_of, why
from table import Row, machine, table, versions

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
WHEELS = ROOT / ".wheels"
NEEDED = (
    "PIL", "beartype", "huggingface_hub", "jaxtyping", "kornia", "numpy", "psutil", "pyarrow",
    "pytest", "rich", "safetensors", "skimage", "sklearn", "tyro",
)  # fmt: skip
"""Packages that the plan imports."""
WHOLE = 530.0
"""Seconds of the whole plan."""
LEAST = 10.0
"""Fewer seconds are not worth beginning a step."""
A_BENCHMARK = 110.0
"""Seconds of one that shares its step with others."""


@dataclass(frozen=True)
class Day:
    """Where to, at which sizes, and until when."""

    out: Path
    toy: bool
    end: float
    """By the monotonic clock."""

    @property
    def left(self) -> float:
        return self.end - monotonic()


@dataclass(frozen=True)
class Step:
    """One part of the plan."""

    name: str
    seconds: float
    """At most; fewer where the day ends before."""
    run: Callable[[Day, "Step", float], str]
    """Does it in so many seconds and says in some words what came of it. Raises StepFailed."""
    file: str = ""
    """What it writes."""
    modules: tuple[str, ...] = ()
    """Benchmarks whose rows it measures."""
    beside: bool = False
    """It begins together with the step before it, since neither is timed."""


class StepFailed(Exception):
    """A step ended early; the message says why."""


@dataclass(frozen=True)
class Done:
    """What became of a step."""

    step: Step
    seconds: float
    well: bool
    came: str


def run_tests(day: Day, step: Step, seconds: float) -> str:
    """All tests that need a GPU. Under other versions than ours, a warning is no error."""
    files = sorted((ROOT / "tests").rglob("test_on_a_gpu.py"))
    options = ["-p", "no:cacheprovider", "-W", "default", "-ra"]
    command = [sys.executable, "-m", "pytest", *options, *map(str, files)]
    return listen(command, day.out / step.file, seconds, rehearsal=day.toy).splitlines()[-1]


def fill_compile_cache(day: Day, _step: Step, seconds: float) -> str:
    """So that no step that is timed waits for the compiler."""
    with TemporaryDirectory() as folder:
        command = script("settings.py", "--compile", *["--toy"] * day.toy)
        said = listen(command, Path(folder) / "log", seconds)
    return f"{len(said.splitlines())} ways of a training step"


def profile(day: Day, step: Step, seconds: float) -> str:
    preset, batch = ("toy", "2") if day.toy else ("b16", "128")
    command = script("training_step.py", "--profile", "--preset", preset, "--batch", batch)
    said = listen(command, day.out / step.file, seconds).splitlines()
    return next(line for line in said if line.startswith("one step"))


def script(name: str, *options: str) -> list[str]:
    return [sys.executable, str(HERE / name), *options]


def measure(day: Day, step: Step, seconds: float) -> str:
    """The rows of the step's benchmarks; its file is whole after each of them."""
    end, parts = monotonic() + seconds, []
    for module in step.modules:
        most = seconds if len(step.modules) == 1 else min(A_BENCHMARK, end - monotonic())
        parts.append(part_of(module, day.toy, most))
        write_parts(day.out / step.file, parts)
    said = f"{sum(len(part.rows) for part in parts)} rows"
    if failed := [f"{part.module}: {part.failed}" for part in parts if part.failed]:
        raise StepFailed(f"{said}; {'; '.join(failed)}")
    return said


def part_of(module: str, toy: bool, seconds: float) -> Part:
    """A benchmark's rows, or those that came before it failed."""
    rows: list[Row] = []
    where = f"{machine()}; {versions()}; {date.today():%d %B %Y}"
    if seconds < LEAST:
        return Part(module, where, toy, failed="not reached: its step was over")
    try:
        for row in rows_of(module, toy, seconds):
            rows.append(row)
    except Failed as failure:
        return Part(module, where, toy, tuple(rows), str(failure), failure.log)
    return Part(module, where, toy, tuple(rows))


def train_scenes(day: Day, step: Step, seconds: float) -> str:
    """The model that comes with the package, for all the time there is: a run that goes on, and
    ships, from its newest checkpoint.
    """
    training = seconds - LEAST
    with TemporaryDirectory() as name:
        folder, run = Path(name), Path(name) / "scenes"
        options = ("--seconds", f"{training:.0f}", *["--toy"] * day.toy)
        try:
            listen(script("scenes.py", name, *options), folder / "log", training)
            how = "finished"
        except StepFailed as failure:
            how = f"to go on with, since {failure}"
        checkpoints = sorted((run / "checkpoints").glob("step-*"))
        if not checkpoints:
            raise StepFailed(f"no checkpoint yet: {how}")
        with tarfile.open(day.out / step.file, "w") as tar:
            for part in (*(path for path in run.glob("[!.]*") if path.is_file()), checkpoints[-1]):
                tar.add(part, part.relative_to(folder))
    return f"{checkpoints[-1].name}, {how}"


def listen(command: list[str], file: Path, seconds: float, rehearsal: bool = False) -> str:
    """What a command says, into a file meanwhile. Raises StepFailed when it ends early."""
    environment = os.environ | ({"STELLAR_REHEARSAL": "1"} if rehearsal else {})
    with (
        file.open("w") as out,
        Limited(
            command, seconds, stdout=out, stderr=subprocess.STDOUT, cwd=ROOT, env=environment
        ) as limited,
    ):
        pass
    said = file.read_text().strip()
    if limited.process.returncode:
        raise StepFailed(why(limited, seconds, said))
    return said or "nothing was said"


ROWS = ("attention", "heads", "tokenizer", "loader", "linear_probe", "embedding", "limits")
PLAN = (
    Step("tests", 160, run_tests, "tests.txt"),
    Step("compile", 150, fill_compile_cache, beside=True),
    Step("evaluation", 120, measure, "evaluation.json", ("evaluation",), beside=True),
    Step("pretraining", 140, measure, "pretraining.json", ("pretraining",)),
    Step("step", 180, measure, "step.json", ("training_step", "settings")),
    Step("profile", 60, profile, "profile.txt"),
    Step("rows", 200, measure, "rows.json", ROWS),
    Step("scenes", WHOLE, train_scenes, "scenes.tar"),
)
MODULES = ("training_step", "settings", "pretraining", *ROWS, "evaluation")
"""In the order of the table."""


def live(day: Day, plan: Sequence[Step]) -> list[Done]:
    """The plan, step by step; what became of each is said at once, and in the table after it."""
    done: list[Done] = []
    for together in groups(plan):
        with ThreadPoolExecutor(len(together)) as pool:
            try:
                for each in pool.map(lambda step: begin(day, step), together):
                    done.append(each)
                    print(f"{each.step.name:<12} {each.seconds:>4.0f} s  {each.came}", flush=True)
            except BaseException:
                Limited.stop_all()
                raise
        (day.out / TABLE.name).write_text(tables(day.out))
    return done


def groups(plan: Sequence[Step]) -> Iterator[list[Step]]:
    """Steps that begin together."""
    group: list[Step] = []
    for step in plan:
        if group and not step.beside:
            yield group
            group = []
        group.append(step)
    yield group


def begin(day: Day, step: Step) -> Done:
    """One step, within its seconds and the day's."""
    start, seconds = monotonic(), min(step.seconds, day.left)
    if seconds < LEAST:
        return Done(step, 0.0, False, "not reached: the day was over")
    try:
        came, well = step.run(day, step, seconds), True
    except StepFailed as failure:
        came, well = str(failure), False
    return Done(step, monotonic() - start, well, came)


def parts_in(folder: Path) -> list[Part]:
    """All rows of a day."""
    files = (step.file for step in PLAN if step.modules)
    return [part for file in files for part in read_parts(folder / file)]


def tables(folder: Path) -> str:
    """Those of a day's rows."""
    return as_markdown(parts_in(folder), {module: tells(module) for module in MODULES})


def tells(module: str) -> str:
    """What a benchmark tells: the first sentence of its file."""
    said = ast.get_docstring(ast.parse((HERE / f"{module}.py").read_text())) or ""
    return " ".join(said.partition("\n\n")[0].split())


def keep(folder: Path) -> None:
    """A day's rows in the place of earlier ones of the same benchmarks, and the table of all."""
    if not folder.is_dir():
        raise SystemExit(f"{folder} is no folder: --keep takes the one that a day wrote")
    new = parts_in(folder)
    try:
        parts = kept(read_parts(KEPT), new)
    except ValueError as error:
        raise SystemExit(f"nothing of {folder} is kept: {error}") from error
    write_parts(KEPT, parts)
    TABLE.write_text(as_markdown(parts, {module: tells(module) for module in MODULES}))
    print(f"rows of {len(new)} benchmarks from {folder}; {len(parts)} are kept in {KEPT}")


def bring_packages(folder: Path) -> None:
    """Let this process and those that it starts find the package in src, and install the wheels
    there are into the folder if something else is missing. Raises SystemExit when it still is.
    """
    wheels = sorted(WHEELS.glob("*.whl"))
    if missing() and wheels:
        options = ["--quiet", "--no-index", "--no-deps", "--no-compile", "--target", str(folder)]
        subprocess.run([sys.executable, "-m", "pip", "install", *options, *wheels], check=True)
        sys.path.insert(0, str(folder))
    if lacking := missing():
        raise SystemExit(
            f"this Python lacks {', '.join(lacking)}: install them, or run make gpu-day-wheels "
            f"where there is a network and bring {WHEELS.name} along"
        )
    sys.path.insert(0, str(ROOT / "src"))
    paths = (str(ROOT / "src"), str(folder), os.environ.get("PYTHONPATH", ""))
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, paths))


def missing() -> list[str]:
    """What the plan imports and this Python has not."""
    return [name for name in NEEDED if find_spec(name) is None]


def main() -> int:
    names = [step.name for step in PLAN]
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("steps", nargs="*", metavar="STEP", help=f"of {', '.join(names)}")
    parser.add_argument("--out", type=Path, default=Path("gpu-day"), help="a folder for everything")
    parser.add_argument("--toy", action="store_true", help="rehearse, also where there is a GPU")
    parser.add_argument("--seconds", type=float, default=WHOLE, help="of the whole plan")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="commit what a day measured")
    options = parser.parse_args()
    if options.keep:
        keep(options.keep)
        return 0
    if unknown := [name for name in options.steps if name not in names]:
        parser.error(f"no step is called {', '.join(unknown)}; there are {', '.join(names)}")
    end_with_this_process()
    try:
        return run_day(options, monotonic() + options.seconds)
    except KeyboardInterrupt:
        print(f"stopped; what was measured until now is in {options.out}", file=sys.stderr)
        return 130


def run_day(options: argparse.Namespace, end: float) -> int:
    """The plan, or the steps that were asked for, and what came of each in a table; 1 if one ended
    early.
    """
    with TemporaryDirectory() as folder:
        bring_packages(Path(folder))
        if toy := options.toy or not torch.cuda.is_available():
            os.environ.setdefault("OMP_NUM_THREADS", "1")  # small steps, some beside each other
        print(f"{'a rehearsal at toy sizes' if toy else 'the plan'} on {machine()}", flush=True)
        options.out.mkdir(parents=True, exist_ok=True)
        chosen = [step for step in PLAN if not options.steps or step.name in options.steps]
        done = live(Day(options.out.resolve(), toy, end), chosen)
    lines = [
        (d.step.name, f"{d.seconds:.0f}", "yes" if d.well else "no", d.came, d.step.file)
        for d in done
    ]
    print(f"\n{table(('step', 's', 'well', 'what came of it', 'file'), lines)}\n\n{options.out}")
    return 0 if all(each.well for each in done) else 1


if __name__ == "__main__":
    sys.exit(main())
