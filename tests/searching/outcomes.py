"""What comes of an index: what searches in it find, and what another process does to it."""

import multiprocessing
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest

KILLED_IN_ORDER = """
import os, signal, sys
from datetime import timedelta
import lancedb.table
from stellar.searching import build_index

calls = 0
optimize = lancedb.table.LanceTable.optimize

def dying(table, cleanup_older_than):
    global calls
    calls += 1
    optimize(table, cleanup_older_than=max(cleanup_older_than - timedelta(days=1), timedelta()))
    if calls == int(sys.argv[1]):
        os.kill(os.getpid(), signal.SIGKILL)

lancedb.table.LanceTable.optimize = dying
build_index("photos.parquet", "photos.index")
"""
"""A call, a day after the one before, that is killed as it has put its n-th table in order."""


def everything(folder: Path, like: str = "003.jpg") -> list[tuple[str, list[float]]]:
    """What one search in an index gives, of all pictures."""
    import stellar

    index = stellar.open_index(folder)
    return [
        (hit.path, [round(hit.score, 4), *(match.token for match in hit.matches)])
        for hit in index.search(like, where="left", count=len(index))
    ]


@dataclass(frozen=True)
class Ended:
    """How a process ended: its exit code, or the signal with a minus; and what it said."""

    returncode: int | None
    said: str


def run(script: str, folder: Path, *arguments: str) -> Ended:
    """Python in a process of its own: forked from one that has imported what takes seconds, but not
    LanceDB, which has threads of its own from its import on.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["stellar.cli", "stellar.searching"])
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_run_here, args=(script, folder, arguments, theirs))
    process.start()
    theirs.close()
    with ours, open(ours.fileno(), closefd=False) as pipe:
        said = pipe.read()
    process.join()
    return Ended(process.exitcode, said)


def _run_here(script: str, folder: Path, arguments: Sequence[str], output: Connection) -> None:
    sys.stdout = sys.stderr = os.fdopen(output.fileno(), "w", buffering=1, closefd=False)
    os.chdir(folder)
    sys.argv = ["-c", *arguments]
    exec(script, {"__name__": "__main__"})


def some_are_slow(*places: int, slow: Sequence[int]) -> list[Any]:
    """Places to be killed at; the others, each a process more, with `-m slow`."""
    return [*places, *(pytest.param(place, marks=pytest.mark.slow) for place in slow)]
