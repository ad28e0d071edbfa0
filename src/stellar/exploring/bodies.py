"""What requests bring along, limited: each by its size and its time, and all that are under way by
the memory that they take.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
from starlette.requests import Request

from stellar.errors import UserError
from stellar.exploring.turns import Busy

LONGEST = 120
"""Seconds that a body may take to come."""


class TooLarge(UserError):
    """More bytes than are taken."""


class TooSlow(UserError):
    """A body that does not end."""


class Bodies:
    """Of one kind of request: at most `largest` bytes each, and `together` of all that came and are
    not answered yet.
    """

    def __init__(self, largest: int, together: int, longest: float = LONGEST) -> None:
        self._largest, self._together, self._longest = largest, together, longest
        self._held = 0

    @asynccontextmanager
    async def of(self, request: Request) -> AsyncIterator[bytes]:
        """The body, which counts as under way until it is done with. Raises TooLarge before more
        bytes are taken, Busy, and TooSlow.
        """
        declared = request.headers.get("content-length", "0")
        if not declared.isdecimal() or int(declared[:20]) > self._largest:
            raise self._too_large()
        data = bytearray()
        try:
            with anyio.move_on_after(self._longest) as time:
                async for part in request.stream():
                    if len(data) + len(part) > self._largest:
                        raise self._too_large()
                    if self._held + len(part) > self._together:
                        raise Busy
                    self._held += len(part)
                    data += part
            if time.cancelled_caught:
                raise TooSlow(f"what is sent has to come within {self._longest:g} seconds")
            yield bytes(data)
        finally:
            self._held -= len(data)

    def _too_large(self) -> TooLarge:
        return TooLarge(f"at most {self._largest >> 20} MB are taken")
