"""All benchmarks of a CPU in one table.

    python benchmarks/run.py                       all of them
    python benchmarks/run.py heads loader          some of them

Each module yields rows (`table.py`) in a process of its own (`rows_process.py`). Rows are shown as
they come, and the file is whole after each module. A module that fails does not end the others: its
row says so, and so does the exit code. A GPU is hidden; `gpu_day.py` is for machines with one.
"""

import argparse
import os
import sys
from importlib.util import find_spec
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from limited import end_with_this_process
from rows_process import Failed, rows_of
from stellar.storage import write_file
from table import Row, cells, header, rows_table, unmeasured

MODULES = (
    "training_step", "heads", "tokenizer", "loader", "encoding", "embedding", "scaling", "shards",
    "attention", "export", "loading", "linear_probe", "limits",
)  # fmt: skip
"""In the order of the table."""
RESULTS = Path(__file__).parent / "results"


def main() -> int:
    parser = argparse.ArgumentParser(description="All benchmarks of a CPU in one table.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(MODULES)}")
    parser.add_argument("--out", type=Path, default=RESULTS / "cpu.md")
    options = parser.parse_args()
    if unknown := [name for name in options.names if find_spec(name) is None]:
        parser.error(f"no benchmark is called {', '.join(unknown)}; there are {', '.join(MODULES)}")
    end_with_this_process()
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    return measure(options.names or list(MODULES), options.out)


def measure(modules: list[str], out: Path) -> int:
    """Run them, one after the other; the number of modules that failed."""
    rows: list[Row] = []
    failures = 0
    for module in modules:
        try:
            for row in rows_of(module):
                rows.append(row)
                print(f"{len(rows):>3}  " + "  ".join(cells(row)), flush=True)
        except Failed as failure:
            failures += 1
            print(failure.log, file=sys.stderr)
            rows.append(unmeasured(f"`{module}` failed", "", None, str(failure)))
            print(f"{len(rows):>3}  {module} failed: {failure}", flush=True)
        write_file(out, f"{header('Benchmarks')}\n{rows_table(rows)}\n")
    print(f"\n{out.read_text()}\nwritten to {out}")
    return failures


if __name__ == "__main__":
    sys.exit(min(1, main()))
