"""The rows of a benchmark from a process of its own: its memory and its threads are its own, and
one that fails, or takes too long, ends alone.

    python benchmarks/rows_process.py MODULE [--toy]      rows as JSON, one a line
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryFile

sys.path.insert(0, str(Path(__file__).parent))

from limited import Limited
from table import Row


class Failed(Exception):
    """A benchmark ended early; the message is the last thing that it said, `log` all of it."""

    def __init__(self, message: str, log: str) -> None:
        super().__init__(message)
        self.log = log


def rows_of(module: str, toy: bool = False, seconds: float | None = None) -> Iterator[Row]:
    """A module's rows, as they come from its process; `toy`: at the sizes of a rehearsal. Raises
    Failed when it ends early, or has to be ended after so many seconds.
    """
    command = [sys.executable, __file__, module, *["--toy"] * toy]
    with TemporaryFile("w+", errors="replace") as said:
        with Limited(command, seconds, stdout=subprocess.PIPE, stderr=said) as limited:
            for line in limited.process.stdout or ():
                yield Row(**json.loads(line))
        if limited.process.returncode:
            said.seek(0)
            log = said.read().strip()
            raise Failed(why(limited, seconds, log), log)


def why(limited: Limited, seconds: float | None, log: str) -> str:
    """Why a process ended early, in a few words."""
    if limited.late:
        return f"it took more than its {seconds:.0f} s"
    last = log.splitlines()[-1] if log else "without a word"
    return f"exit code {limited.process.returncode}, {last}"


def give_rows(module: str, toy: bool) -> None:
    """In the module's process: its rows on the standard output, and all else that it, or what it
    starts, prints on the standard error.
    """
    with os.fdopen(os.dup(1), "w") as out:
        os.dup2(2, 1)
        benchmark = import_module(module)
        for row in benchmark.rows(toy=True) if toy else benchmark.rows():
            print(json.dumps(asdict(row)), file=out, flush=True)


if __name__ == "__main__":
    give_rows(sys.argv[1], "--toy" in sys.argv)
