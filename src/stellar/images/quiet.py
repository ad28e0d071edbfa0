"""What libraries say of odd pictures is for their own developers: a picture is read, or refused in
one sentence.

Warnings and loggers are the process's, and pictures are read in several threads: where each thread
put back what it had found, one that began within another would leave all of it silent for good.
"""

import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from threading import Lock
from typing import Any


class Shared(AbstractContextManager[None]):
    """A context of the whole process: the first to come enters it, the last to go leaves it."""

    def __init__(self, make: Callable[[], AbstractContextManager[Any]]) -> None:
        self._make, self._entered = make, ExitStack()
        self._lock, self._inside = Lock(), 0

    def __enter__(self) -> None:
        with self._lock:
            if self._inside == 0:
                self._entered.enter_context(self._make())
            self._inside += 1

    def __exit__(self, *_error: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._entered.close()


@contextmanager
def _disabled(logger: logging.Logger) -> Iterator[None]:
    before, logger.disabled = logger.disabled, True
    yield
    logger.disabled = before


UNWARNED = Shared(lambda: warnings.catch_warnings(action="ignore"))
"""Pillow's, of large pictures and odd metadata, and all others."""
UNLOGGED = Shared(lambda: _disabled(logging.getLogger("tifffile")))
