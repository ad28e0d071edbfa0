"""What every benchmark gives: measured rows; and how they are shown: a header that says where they
were measured, and one table.

A row is one piece of work done in two ways in the same run: ours, and the plain way. Its ratio is
how many times better ours is; its limit is what the arithmetic, or another bound that the row
names, would allow.
"""

import ctypes
import json
import platform
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite, isnan, nan
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
    target: float | None
    """The ratio that was aimed at; None: none was."""
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

    @property
    def met(self) -> str:
        """Whether the ratio is at its target."""
        if isnan(self.value):
            return "not measured"
        return "" if self.target is None else "yes" if self.ratio >= self.target else "no"


def unmeasured(what: str, unit: str, target: float | None, why: str = "no GPU") -> Row:
    """A row that stands in the table although it cannot be measured here."""
    return Row(what, unit, nan, nan, target, note=f"not measured: {why}")


COLUMNS = ("#", "what", "unit", "plain", "ours", "ratio", "target", "met", "limit", "of the limit")


def rows_table(rows: Sequence[Row]) -> str:
    """All rows, numbered, and below them their notes under the same numbers."""
    lines = [(str(number), *cells(row)) for number, row in enumerate(rows, 1)]
    notes: dict[str, list[str]] = {}
    for number, row in enumerate(rows, 1):
        notes.setdefault(row.note, []).append(str(number))
    below = [f"- **{', '.join(numbers)}** {note}" for note, numbers in notes.items() if note]
    return "\n".join([table(COLUMNS, lines), "", *below])


def cells(row: Row) -> list[str]:
    """A row as text, without its number; a dash where there is nothing to say."""
    share = "-" if row.of_limit is None else f"{row.of_limit:.0%}"
    figures = [digits(value) for value in (row.plain, row.value, row.ratio, row.target)]
    return [row.what, row.unit, *figures, row.met or "-", digits(row.limit), share]


def digits(value: float | None) -> str:
    """Three of them, or a whole number."""
    if value is None or not isfinite(value):
        return "-"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


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


def replayed(run: Callable[[], object], device: torch.device) -> Callable[[], object]:
    """On a GPU, the kernels of `run`, recorded and played back at once; else itself. It has run
    before.
    """
    if device.type != "cuda":
        return run
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        run()
    return graph.replay


def in_turns(
    script: str, sides: Sequence[str], options: Sequence[str], rounds: int
) -> dict[str, dict[str, float]]:
    """Medians of what each side measures in processes of its own, which take turns: so its memory
    is its own. `script --side SIDE`, with the options, prints its figures as JSON.
    """
    found: dict[str, list[dict[str, float]]] = {side: [] for side in sides}
    for _ in range(rounds):
        for side, results in found.items():
            command = [sys.executable, script, "--side", side, *options]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            results.append(json.loads(done.stdout))
    return {
        side: {key: median(result[key] for result in results) for key in results[0]}
        for side, results in found.items()
    }


def peak_memory(device: torch.device) -> int:
    """Most bytes that this process had in use since `forget_peak`, or ever; on a GPU, of the GPU's
    memory.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated()
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def forget_peak(device: torch.device) -> None:
    """Let the peak be what is in use now."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
        return
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL("libc.so.6").malloc_trim(0)  # what is free counts no longer
    Path("/proc/self/clear_refs").write_text("5")


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
    return f"## {title}\n\n{machine()}; {versions()}; `python {shlex.join(sys.argv)}`\n"


def versions() -> str:
    """Of Python and of what was measured."""
    from stellar import __version__

    return f"Python {platform.python_version()}, torch {torch.__version__}, stellar {__version__}"


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Markdown, so that a result can be committed as it is printed."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def print_rows(title: str, rows: Iterable[Row]) -> None:
    """Header and rows on the terminal: what a benchmark shows that is run alone."""
    print(header(title))
    print(rows_table(list(rows)))
