"""All benchmarks in one table.

    python benchmarks/run.py                       all of them, on the CPU
    python benchmarks/run.py heads loader          some of them
    python benchmarks/run.py --gpu                 with the GPU

Each module yields rows (`table.py`) in a process of its own, so that its memory and its threads
are its own. Rows are shown as they come, and the file is whole after each module. A module that
fails does not end the others: its row says so, and so does the exit code.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryFile

import torch

sys.path.insert(0, str(Path(__file__).parent))

from stellar.storage import write_file
from table import Row, cells, header, rows_table, unmeasured

MODULES = (
    "training_step", "pretraining", "heads", "tokenizer", "loader", "encoding", "embedding",
    "scaling", "shards", "attention", "export", "loading", "linear_probe", "limits",
)  # fmt: skip
"""In the order of the table."""
RESULTS = Path(__file__).parent / "results"


class Failed(Exception):
    """A module ended early; the message is the last thing that it said."""


def main() -> int:
    parser = argparse.ArgumentParser(description="All benchmarks in one table.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(MODULES)}")
    parser.add_argument("--gpu", action="store_true", help="use the GPU; without, it is hidden")
    parser.add_argument("--out", type=Path, help="default: results/cpu.md, or gpu.md")
    parser.add_argument("--rows", metavar="NAME", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.rows:
        return give_rows(options.rows)
    if unknown := [name for name in options.names if find_spec(name) is None]:
        parser.error(f"no benchmark is called {', '.join(unknown)}; there are {', '.join(MODULES)}")
    if options.gpu and not torch.cuda.is_available():
        print("there is no GPU: rows that need one are marked", file=sys.stderr)
    elif not options.gpu:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    out = options.out or RESULTS / ("gpu.md" if options.gpu else "cpu.md")
    return measure(options.names or list(MODULES), out)


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
            rows.append(unmeasured(f"`{module}` failed", "", None, str(failure)))
            print(f"{len(rows):>3}  {module} failed: {failure}", flush=True)
        write_file(out, f"{header('Benchmarks')}\n{rows_table(rows)}\n")
    print(f"\n{out.read_text()}\nwritten to {out}")
    return failures


def rows_of(module: str) -> Iterator[Row]:
    """A module's rows, as they come from its process. Raises Failed when it ends early."""
    command = [sys.executable, __file__, "--rows", module]
    with (
        TemporaryFile("w+") as said,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=said, text=True) as process,
    ):
        for line in process.stdout or ():
            yield Row(**json.loads(line))
        if process.wait():
            said.seek(0)
            words = said.read().strip()
            print(words, file=sys.stderr)
            last = words.splitlines()[-1] if words else "without a word"
            raise Failed(f"exit code {process.returncode}, {last}")


def give_rows(module: str) -> int:
    """In the module's process: its rows on the standard output, and all else that it, or what it
    starts, prints on the standard error.
    """
    with os.fdopen(os.dup(1), "w") as out:
        os.dup2(2, 1)
        for row in import_module(module).rows():
            print(json.dumps(asdict(row)), file=out, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(min(1, main()))
