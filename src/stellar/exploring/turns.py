"""One piece of heavy work at a time, so that no page, and no ten pages, can starve the machine."""

from collections.abc import Callable
from typing import TypeVar

import anyio
from anyio.to_thread import run_sync

Result = TypeVar("Result")
MOST_WAITING = 32
"""Requests that may wait for their turn."""


class Busy(Exception):
    """Too many are waiting already; to be asked again in a moment."""


class Turns:
    """Runs work in a thread, one after the other, in the order in which it was asked for."""

    def __init__(self, most_waiting: int = MOST_WAITING) -> None:
        self._turn, self._waiting, self._most = anyio.Lock(), 0, most_waiting

    async def run(self, work: Callable[[], Result]) -> Result:
        """Raises Busy, and what the work raises."""
        if self._waiting > self._most:
            raise Busy
        self._waiting += 1
        try:
            async with self._turn:
                return await run_sync(work)
        finally:
            self._waiting -= 1
