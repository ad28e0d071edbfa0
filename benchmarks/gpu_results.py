"""What was measured on GPUs, part by part: kept in results/gpu.json, shown in results/gpu.md.

A part is what one benchmark gave on one machine. A day replaces the parts that it measured and
leaves the others as they are; what no day has measured is named.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from stellar.storage import write_file
from table import Row, rows_table, table

HERE = Path(__file__).parent
KEPT, TABLE = HERE / "results/gpu.json", HERE / "results/gpu.md"
HEAD = """## Benchmarks on a GPU

Written by `python benchmarks/gpu_day.py` (`make gpu-day`), never by hand: see
[docs/scale.md](../../docs/scale.md#a-day-on-a-gpu).
"""


@dataclass(frozen=True)
class Part:
    """The rows of a benchmark, or as many as there were when it failed."""

    module: str
    machine: str
    """And versions."""
    day: str
    toy: bool
    """Whether it was rehearsed alone, at sizes that tell nothing."""
    rows: tuple[Row, ...] = ()
    failed: str = ""
    """Why it ended early."""
    log: str = ""
    """What it said when it did."""

    def with_rows(self, rows: Sequence[Row]) -> "Part":
        return replace(self, rows=tuple(rows))

    def ended(self, why: str, log: str = "") -> "Part":
        return replace(self, failed=why, log=log)


def write_parts(file: Path, parts: Iterable[Part]) -> None:
    write_file(file, json.dumps([asdict(part) for part in parts], indent=1) + "\n")


def read_parts(file: Path) -> list[Part]:
    """What `write_parts` wrote; nothing where there is no file."""
    if not file.exists():
        return []
    return [
        Part(**{**part, "rows": tuple(Row(**row) for row in part["rows"])})
        for part in json.loads(file.read_text())
    ]


def kept(old: Iterable[Part], new: Iterable[Part]) -> tuple[list[Part], list[Part]]:
    """The newest rows of every benchmark, without their logs; and the new parts that ended early
    where an older one is whole, which stays.
    """
    found, left = {part.module: part for part in old}, []
    for part in new:
        older = found.get(part.module)
        if part.failed and older is not None and older.rows and not older.failed:
            left.append(part)
        elif part.rows:
            found[part.module] = replace(part, log="")
    return list(found.values()), left


def as_markdown(parts: Sequence[Part], modules: Mapping[str, str]) -> str:
    """A table for each machine and day, and what is missing of `modules`, which are names and what
    they tell.
    """
    order = {module: place for place, module in enumerate(modules)}
    places: dict[tuple[str, str, bool], list[Part]] = {}
    for part in sorted(parts, key=lambda part: order.get(part.module, len(order))):
        places.setdefault((part.machine, part.day, part.toy), []).append(part)
    sections = [HEAD]
    for (machine, day, toy), its in places.items():
        rehearsed = "A rehearsal at toy sizes, of no worth as a measurement: " if toy else ""
        rows = [row for part in its for row in part.rows]
        sections.append(f"### {rehearsed}{machine}; {day}\n\n{rows_table(rows)}\n")
    if missing := _missing(parts, modules):
        sections.append(f"### Not measured\n\n{missing}\n")
    return "\n".join(sections)


def _missing(parts: Sequence[Part], modules: Mapping[str, str]) -> str:
    """A row for each benchmark without rows, or without all of them; empty where there is none."""
    found = {part.module: part for part in parts}
    lines = []
    for module, tells in modules.items():
        part = found.get(module)
        if part is None or not part.rows:
            lines.append((f"`{module}`", tells, "not measured"))
        elif part.failed:
            lines.append((f"`{module}`", tells, f"from where it failed on: {part.failed}"))
    return table(("benchmark", "what it tells", ""), lines) if lines else ""
