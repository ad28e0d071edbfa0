"""What goes wrong behind an address: told as of a file on a disk, and tried again where that helps.

fsspec lets the errors of aiohttp through, of which few are OSErrors. Where a web server does not
tell a file's size, whatever the reason, it says that the file is missing.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from stellar.errors import first_line

Result = TypeVar("Result")
TRIES = 4
"""For what is read behind an address, with pauses of 1, 2 and 4 seconds."""
MISSING, BUSY = (404, 410), (408, 425, 429)
"""Answers of a web server that has no such file, and of one that may give it later; others from 400
to 499 are refusals.
"""


def retried(action: Callable[[], Result]) -> Result:
    """The result of what may fail for a moment. Raises OSError, at once where a file is missing or
    refused.
    """
    for pause in range(TRIES):
        try:
            with as_os_errors():
                return action()
        except (FileNotFoundError, PermissionError):
            raise
        except OSError:
            if pause == TRIES - 1:
                raise
            time.sleep(2**pause)
    raise AssertionError


@contextmanager
def as_os_errors() -> Iterator[None]:
    """Raises FileNotFoundError for what is missing, PermissionError for what is refused, and
    OSError for what else goes wrong.
    """
    try:
        yield
    except FileNotFoundError as error:
        if not isinstance(error.__cause__, (OSError, *_errors_of_http())):
            raise
        raise _os_error(error.__cause__) from error
    except _errors_of_http() as error:
        raise _os_error(error) from error


def _errors_of_http() -> tuple[type[Exception], ...]:
    """aiohttp's; it is there where http is read."""
    try:
        from aiohttp import ClientError
    except ImportError:
        return ()
    return (ClientError,)


def _os_error(error: Exception) -> OSError:
    """What a file on a disk would raise."""
    status, said = getattr(error, "status", 0), first_line(error)
    if status:
        said = f"the server answers {status} {getattr(error, 'message', '')}".strip()
    if isinstance(error, FileNotFoundError) or status in MISSING:
        return FileNotFoundError(said)
    refused = 400 <= status < 500 and status not in BUSY
    return PermissionError(said) if refused or isinstance(error, PermissionError) else OSError(said)
