"""Runs one command on a disk that is full from the n-th write on, for every n: in a process of its
own each time, forked from this one, which has everything imported.

    LD_PRELOAD=full_disk.so python driver.py CASE FOLDER MOST

Prints a line of JSON for each n: how it ended, and what a second call, with room, left.
"""

import ctypes
import hashlib
import json
import os
import shutil
import sys
import traceback
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

DISK = ctypes.CDLL(None)


def in_a_child(work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What `work` gives in a forked process, or how that ended."""
    out, into = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(out)
        try:
            answer = work()
        except BaseException:
            answer = {"traceback": traceback.format_exc()}
        os.write(into, json.dumps(answer).encode())
        os._exit(0)
    os.close(into)
    with os.fdopen(out, "rb") as pipe:
        said = pipe.read()
    _, status = os.waitpid(child, 0)
    return json.loads(said) if said else {"killed": status}


def called(arguments: list[str], folder: Path, first_refused: int) -> dict[str, Any]:
    """A command on a disk that is full from this write on; 0: never."""
    from stellar.cli import main

    said = StringIO()
    DISK.full_from(ctypes.c_long(first_refused), str(folder).encode())
    try:
        with redirect_stdout(said), redirect_stderr(said):
            code = main(arguments)
    finally:
        writes = DISK.writes_seen()
        DISK.full_from(ctypes.c_long(0), b"")
    return {"code": code, "said": said.getvalue(), "writes": writes}


TIMED = ("log.txt", "metrics.jsonl", "evaluation.json", "report.html", "report.json")
"""Files that say how fast something was."""
MOMENTS = ("state.pt", "SHA256SUMS")
"""AdamW's, which a resumed run pickles in other bytes; the weights after its steps tell that they
are the same.
"""


def contents(folder: Path) -> dict[str, str]:
    """A hash of every file below a folder, without hidden ones, what says how fast it was, and
    indices, which may be kept elsewhere.
    """
    files = (file for file in sorted(folder.rglob("*")) if file.is_file())
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in files
        if not any(part.startswith(".") for part in file.relative_to(folder).parts)
        and file.name not in (*TIMED, *MOMENTS)
        and file.suffix != ".index"
    }


def some_of(writes: int, most: int) -> list[int]:
    """Numbers from the first write to the last, evenly spread, where there are more than `most`."""
    count = min(writes, most)
    return sorted({1 + index * (writes - 1) // max(1, count - 1) for index in range(count)})


def main() -> None:
    import torch
    from cases import CASES

    torch.set_num_threads(1)
    name, root, most = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    case = CASES[name]
    inputs, out = root / "inputs", root / "out"
    case.prepare(inputs)

    def afresh() -> None:
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir()
        (out / "kept").write_text("what was there before")

    afresh()
    whole = in_a_child(lambda: called(case.call(inputs, out), out, 0))
    expected = contents(out)
    print(json.dumps({"n": 0, **whole, "files": sorted(expected)}), flush=True)
    for n in some_of(whole["writes"], most):
        afresh()
        first = in_a_child(lambda n=n: called(case.call(inputs, out), out, n))
        complete = contents(out) == expected
        kept = (out / "kept").read_text() == "what was there before"
        second = in_a_child(lambda: called(case.again(inputs, out), out, 0))
        left = contents(out)
        same = sorted(n for n in {*left, *expected} if left.get(n) != expected.get(n))
        line = {
            "n": n,
            "first": first,
            "complete": complete,
            "kept": kept,
            "second": second,
            "different": same,
        }
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
