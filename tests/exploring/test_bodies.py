"""Bodies of requests are limited: each, all together, and in time."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

pytest.importorskip("starlette")
import anyio
from anyio.from_thread import start_blocking_portal
from starlette.requests import Request
from starlette.types import Message

from stellar.exploring.bodies import Bodies, TooLarge, TooSlow
from stellar.exploring.turns import Busy


def request(parts: Sequence[bytes], ends: bool = True) -> Request:
    """That sends these parts, and where it does not end, nothing after them for ever."""
    left = list(parts)

    async def receive() -> Message:
        if left:
            part = left.pop(0)
            return {"type": "http.request", "body": part, "more_body": bool(left) or not ends}
        await anyio.sleep_forever()
        raise AssertionError

    return Request({"type": "http", "method": "POST", "headers": []}, receive)


def run(work: Callable[..., Awaitable[Any]], *arguments: object) -> Any:
    """In a thread of its own: the loop of a browser may run in this one."""
    with start_blocking_portal() as portal:
        return portal.call(work, *arguments)


async def read(bodies: Bodies, asked: Request) -> bytes:
    async with bodies.of(asked) as body:
        return body


def test_a_body_is_its_parts() -> None:
    assert run(read, Bodies(9, 9), request([b"some", b"thing"])) == b"something"
    with pytest.raises(TooLarge, match="at most 0 MB are taken"):
        run(read, Bodies(8, 99), request([b"some", b"thing"]))


def test_all_that_are_under_way_are_counted_until_they_are_done_with() -> None:
    async def visitors() -> None:
        bodies = Bodies(largest=6, together=10)
        async with anyio.create_task_group() as others:
            others.start_soon(read, bodies, request([b"never", b""], ends=False))
            await anyio.wait_all_tasks_blocked()
            async with bodies.of(request([b"abcde"])):
                for _ in range(2):
                    with pytest.raises(Busy):
                        await read(bodies, request([b"f"]))
            assert await read(bodies, request([b"fghij"])) == b"fghij"
            others.cancel_scope.cancel()
        for _ in range(3):
            assert await read(bodies, request([b"abc", b"def"])) == b"abcdef"

    run(visitors)


def test_a_body_that_does_not_end_is_given_up() -> None:
    async def visitors() -> None:
        bodies = Bodies(largest=6, together=6, longest=0.05)
        with pytest.raises(TooSlow, match=r"has to come within 0\.05 seconds"):
            await read(bodies, request([b"never", b""], ends=False))
        assert await read(bodies, request([b"abcdef"])) == b"abcdef"

    run(visitors)
