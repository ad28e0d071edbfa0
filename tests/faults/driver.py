"""Runs one command with a fault at its n-th write, for every n: in a process of its own each time,
forked from this one, which has everything imported that the command imports.

    LD_PRELOAD=faults.so python driver.py CASE FOLDER FAULT:MOST FAULT:MOST ...

Prints a line of JSON for each fault and n: how it ended, and what a second call, without it, left.
"""

import ctypes
import errno
import hashlib
import json
import os
import shutil
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout, suppress
from importlib import import_module
from io import StringIO
from pathlib import Path
from typing import Any

LIBRARY = ctypes.CDLL(None)
WRITES, OPENS, LOOKS = range(3)
FAULTS = {
    "a full disk": (errno.ENOSPC, WRITES),
    "a read-only disk": (errno.EROFS, WRITES),
    "no file handles": (errno.EMFILE, OPENS),
    "SIGKILL": (-signal.SIGKILL, WRITES),
    "SIGTERM": (-signal.SIGTERM, WRITES),
    "SIGINT": (-signal.SIGINT, WRITES),
    "the clock set back": (0, LOOKS),
}
"""Numbers of errors, and of signals with a minus; and which calls are counted."""
NO_FAULT = (0, WRITES)


def in_a_child(work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What `work` gives in a forked process, or which signal ended that."""
    out, into = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(out)
        try:
            answer = work()
        except BaseException:
            answer = {"traceback": traceback.format_exc()}
        wait_for_threads()
        os.write(into, json.dumps(answer).encode())
        os._exit(0)
    os.close(into)
    with os.fdopen(out, "rb") as pipe:
        said = pipe.read()
    _, status = os.waitpid(child, 0)
    return json.loads(said) if said else {"killed": os.waitstatus_to_exitcode(status)}


def wait_for_threads() -> None:
    """As Python does at its end. A thread whose start was interrupted may begin a moment later, and
    cannot be waited for before.
    """
    for thread in threading.enumerate():
        if thread is threading.current_thread() or thread.daemon:
            continue
        moment = time.monotonic() + 1
        while not thread.is_alive() and time.monotonic() < moment:
            time.sleep(0.001)
        if thread.is_alive():
            thread.join()


def called(
    run: Callable[[list[str]], int],
    arguments: list[str],
    folder: Path,
    first: int = 0,
    fault: tuple[int, int] = NO_FAULT,
) -> dict[str, Any]:
    """A command with a fault from this call below the folder on; 0: never."""
    said = StringIO()
    number, counted = fault
    LIBRARY.fault_from(ctypes.c_long(first), str(folder).encode(), number, counted)
    try:
        with redirect_stdout(said), redirect_stderr(said):
            code = run(arguments)
    finally:
        calls = [LIBRARY.calls_seen(kind) for kind in (WRITES, OPENS, LOOKS)]
        LIBRARY.fault_from(ctypes.c_long(0), b"", *NO_FAULT)
    return {"code": code, "said": said.getvalue(), "calls": calls}


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


def some_of(calls: int, most: int) -> list[int]:
    """Numbers from the first call to the last, evenly spread, where there are more than `most`; one
    is the middle one.
    """
    count = min(calls, most)
    if count == 1:
        return [(calls + 1) // 2]
    return sorted({1 + index * (calls - 1) // (count - 1) for index in range(count)})


def main() -> None:
    import torch
    from cases import CASES

    torch.set_num_threads(1)
    name, root, *asked = sys.argv[1], Path(sys.argv[2]), *sys.argv[3:]
    case = CASES[name]
    inputs, out = root / "inputs", root / "out"
    case.prepare(inputs)

    def afresh() -> None:
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir()
        (out / "kept").write_text("what was there before")

    afresh()
    whole = in_a_child(
        lambda: called(case.run, case.call(inputs, out), root) | {"modules": [*sys.modules]}
    )
    for module in whole.pop("modules", ()):  # once, not by every child again
        with suppress(ImportError):  # of those that only look like one, as torch.ops
            import_module(module)
    expected = contents(out)
    print(json.dumps({"fault": None, **whole}), flush=True)
    for name, most in (each.rsplit(":", 1) for each in asked):
        fault = FAULTS[name]
        for n in some_of(max(1, whole["calls"][fault[1]]), int(most)):
            afresh()
            first = in_a_child(
                lambda n=n, fault=fault: called(case.run, case.call(inputs, out), root, n, fault)
            )
            complete = contents(out) == expected
            kept = (out / "kept").read_text() == "what was there before"
            hidden = sorted(
                file.name for file in out.rglob(".*") if file.name not in (".lock", ".sizes")
            )
            second = in_a_child(lambda: called(case.run, case.again(inputs, out), root))
            left = contents(out)
            same = sorted(n for n in {*left, *expected} if left.get(n) != expected.get(n))
            line = {
                "fault": name,
                "n": n,
                "first": first,
                "complete": complete,
                "kept": kept,
                "hidden": hidden,
                "second": second,
                "different": same,
            }
            print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
