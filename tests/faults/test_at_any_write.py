"""Every command that writes, with a fault at its n-th write: one sentence and an exit code, nothing
lost that was there, and a second call that finishes with the same files.

As SQLite is tested: a library that is preloaded before the C library refuses the writes below one
folder, or ends the process at one, so that Python, Rust and C++ are met alike.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from cases import CASES
from driver import WRITES

from stellar.exporting.export import OLDEST

HERE = Path(__file__).parent
EVERY = 10_000
SOME = {
    "a full disk": 2,
    "a read-only disk": 1,
    "no file handles": 1,
    "SIGKILL": 2,
    "SIGTERM": 1,
    "SIGINT": 1,
    "the clock set back": 1,
}
"""How many of the calls have the fault, evenly spread from the first to the last; with `-m slow`
all of them.
"""
FEWER = {
    **dict.fromkeys(SOME, 0),
    "a full disk": 1,
    "no file handles": 1,
    "SIGKILL": 1,
    "SIGINT": 1,
}
"""Of commands that take long."""
REFUSED = {
    "a full disk": "No space left on device",
    "a read-only disk": "Read-only file system",
    "no file handles": "Too many open files",
}


@pytest.fixture(scope="session")
def faults(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library, compiled."""
    compiler = shutil.which("cc")
    if compiler is None or sys.platform != "linux":
        pytest.skip("needs Linux and a C compiler (cc)")
    library = tmp_path_factory.mktemp("faults") / "faults.so"
    source = HERE / "faults.c"
    call = [compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(source), "-ldl"]
    subprocess.run(call, check=True)
    return library


def ended_well(line: dict[str, Any]) -> bool:
    """Whether the first call ended as its fault lets it, and tidied up where it could. What a call
    can do without, as an index, may be refused, and then it is complete.
    """
    fault, first, complete = line["fault"], line["first"], line["complete"]
    if "killed" in first:
        return fault == "SIGKILL" and first["killed"] == -9
    tidy = not line["hidden"] or fault == "no file handles"  # a folder is opened to be emptied
    if fault in ("SIGTERM", "SIGINT"):
        return tidy and (first.get("code") == 130 or complete)
    if fault in REFUSED and first.get("code") == 1:
        return tidy and REFUSED[fault] in first["said"]
    return first.get("code") == 0 and complete


@pytest.mark.long
@pytest.mark.parametrize(
    "some", [SOME, pytest.param(dict.fromkeys(SOME, EVERY), marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("name", CASES)
def test_a_fault_at_any_write_is_survived(
    faults: Path, tmp_path: Path, name: str, some: dict[str, int]
) -> None:
    if name == "export" and torch.__version__ < OLDEST:
        pytest.skip(f"export needs torch {OLDEST}")
    if some is SOME and CASES[name].takes_long:
        some = FEWER
    asked = [f"{fault}:{most}" for fault, most in some.items() if most]
    call = [sys.executable, "-W", "ignore", str(HERE / "driver.py"), name, str(tmp_path), *asked]
    environment = {
        **os.environ,
        "LD_PRELOAD": str(faults),
        "PYTHONPATH": os.pathsep.join([str(HERE), *sys.path]),
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(call, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    whole = lines.pop(0)
    assert whole["code"] == 0, whole
    assert whole["calls"][WRITES] > 1, whole
    assert len({line["fault"] for line in lines}) == len(asked)
    for line in lines:
        assert ended_well(line), line
        assert line["kept"], line
        assert line["second"].get("code") == 0, line
        assert not line["different"], line
