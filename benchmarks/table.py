"""What every benchmark gives: measured rows; and how they are shown: a header that says where they
were measured, and one table.

A row is one piece of work done in two ways in the same run: ours, and the plain way. Its ratio is
how many times better ours is; its limit is what the arithmetic, or another bound that the row
names, would allow.
"""

import platform
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import median
from time import perf_counter

import torch


@dataclass(frozen=True)
class Row:
    """One piece of work, done our way and the plain way."""

    what: str
    unit: str
    value: float
    """Ours."""
    plain: float
    """The same work, done the plain way in the same run."""
    target: float
    """The ratio that was aimed at."""
    limit: float | None = None
    """What `value` could be at best, in the same unit; None: no bound is known."""
    smaller_is_better: bool = False
    note: str = ""
    """What the plain way is, where the limit comes from, what holds a row back that misses."""

    @property
    def ratio(self) -> float:
        """How many times better than the plain way."""
        better, worse = self.value, self.plain
        return worse / better if self.smaller_is_better else better / worse

    @property
    def of_limit(self) -> float | None:
        """The share of what could be had at best."""
        if self.limit is None:
            return None
        return self.limit / self.value if self.smaller_is_better else self.value / self.limit


def medians(
    sides: Mapping[str, Callable[[], object]], rounds: int, warm_up: int = 1
) -> dict[str, float]:
    """Median seconds of each side, which take turns; the first rounds do not count."""
    taken: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(warm_up + rounds):
        for name, run in sides.items():
            start = perf_counter()
            run()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            taken[name].append(perf_counter() - start)
    return {name: median(times[warm_up:]) for name, times in taken.items()}


def machine() -> str:
    """Processor, cores in use, and the GPU if there is one."""
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        models = [
            line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")
        ]
        name = models[0].partition(":")[2].strip() if models else name
    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    return f"{name}, {torch.get_num_threads()} threads{gpu}"


def header(title: str) -> str:
    """Title, machine, versions and command, as Markdown."""
    command = "python " + " ".join(sys.argv)
    versions = f"Python {platform.python_version()}, torch {torch.__version__}, stellar "
    versions += version("stellar-vision")
    return f"## {title}\n\n{machine()}; {versions}; `{command}`\n"


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Markdown, so that a result can be committed as it is printed."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Header and table on the terminal."""
    print(header(title))
    print(table(columns, rows))
