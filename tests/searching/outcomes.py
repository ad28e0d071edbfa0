"""What comes of an index: what searches in it find, and what another process does to it."""

import os
import subprocess
import sys
from pathlib import Path


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
