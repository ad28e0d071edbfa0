"""What comes of an index: what searches in it find, and what another process does to it."""

import os
import subprocess
import sys
from collections.abc import Sequence
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


def run(script: str, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Python in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    call = [sys.executable, "-c", script, *arguments]
    return subprocess.run(call, cwd=folder, env=environment, capture_output=True, text=True)


def some_are_slow(*places: int, slow: Sequence[int]) -> list[Any]:
    """Places to be killed at; the others, each a process more, with `-m slow`."""
    return [*places, *(pytest.param(place, marks=pytest.mark.slow) for place in slow)]
