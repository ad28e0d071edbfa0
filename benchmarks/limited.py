"""Processes that have so many seconds, and end with all that they started."""

import os
import signal
import subprocess
from collections.abc import Callable
from contextlib import suppress
from threading import Event, Lock, Timer
from types import TracebackType
from typing import Any, ClassVar

GRACE = 10.0
"""Seconds between being asked to end and being killed, of those that it has."""


class Limited:
    """A process in a group of its own, which is killed after so many seconds, and asked to end
    (SIGTERM) a little before; None: it has all the time it wants. The context waits for it, and
    leaves nothing of the group.
    """

    _running: ClassVar[set["Limited"]] = set()
    _stopped, _lock = Event(), Lock()

    def __init__(self, command: list[str], seconds: float | None, **options: Any) -> None:
        self.late = False
        """Whether it had to be ended."""
        with self._lock:
            if self._stopped.is_set():
                raise KeyboardInterrupt
            self.process = subprocess.Popen(command, text=True, start_new_session=True, **options)
            self._running.add(self)
        self._timers: list[Timer] = []
        if seconds is not None:
            self._after(max(seconds - GRACE, seconds / 2), self._end)
            self._after(seconds, self._kill)

    @classmethod
    def stop_all(cls) -> None:
        """Kill what runs, in whatever thread, and begin nothing more."""
        with cls._lock:
            cls._stopped.set()
            for limited in cls._running:
                limited._kill()

    def __enter__(self) -> "Limited":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is not None:
                self._kill()
            self.process.wait()
        finally:
            for timer in self._timers:
                timer.cancel()
            self._kill()  # what it left behind
            with self._lock:
                self._running.discard(self)
            if self.process.stdout is not None:
                self.process.stdout.close()

    def _after(self, seconds: float, action: Callable[[], None]) -> None:
        timer = Timer(seconds, action)
        timer.daemon = True
        timer.start()
        self._timers.append(timer)

    def _end(self) -> None:
        self.late = True
        self._signal(signal.SIGTERM)

    def _kill(self) -> None:
        self._signal(signal.SIGKILL)

    def _signal(self, number: int) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)


def end_with_this_process() -> None:
    """SIGTERM stops this process as Ctrl-C does, so that nothing that it started is left."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
