"""Every command that writes, on a disk that is full from the n-th write on: one sentence and exit
code 1, nothing lost that was there, and a second call that finishes with the same files.

As SQLite is tested: a library that is preloaded before the C library refuses the writes below one
folder, so that Python, Rust and C++ are refused alike.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from cases import CASES

HERE = Path(__file__).parent
EVERY_WRITE = 10_000


@pytest.fixture(scope="session")
def full_disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library, compiled."""
    compiler = shutil.which("cc")
    if compiler is None or sys.platform != "linux":
        pytest.skip("needs Linux and a C compiler (cc)")
    library = tmp_path_factory.mktemp("faults") / "full_disk.so"
    source = HERE / "full_disk.c"
    call = [compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(source), "-ldl"]
    subprocess.run(call, check=True)
    return library


@pytest.mark.long
@pytest.mark.parametrize("most", [5, pytest.param(EVERY_WRITE, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", CASES)
def test_a_full_disk_is_survived(full_disk: Path, tmp_path: Path, name: str, most: int) -> None:
    call = [sys.executable, "-W", "ignore", str(HERE / "driver.py"), name, str(tmp_path), str(most)]
    environment = {
        **os.environ,
        "LD_PRELOAD": str(full_disk),
        "PYTHONPATH": os.pathsep.join([str(HERE), *sys.path]),
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(call, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    whole, *lines = map(json.loads, done.stdout.splitlines())
    assert whole["code"] == 0, whole
    assert whole["writes"] >= len(lines) >= min(most, whole["writes"]) > 1
    for line in lines:
        first, second = line["first"], line["second"]
        if first.get("code") != 0:
            assert first.get("code") == 1, line
            assert "No space left on device" in first["said"], line
        else:  # what was refused is done without, as an index
            assert line["complete"], line
        assert line["kept"], line
        assert second.get("code") == 0, line
        assert not line["different"], line
