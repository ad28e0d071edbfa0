"""What a run says while it goes: a bar with loss, speed and time left; without a terminal, a line
now and then.
"""

import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

SECONDS_BETWEEN_LINES = 20


class TrainingProgress:
    """A context manager around the loop; `console=None` says nothing."""

    def __init__(self, console: Console | None, start: int, total: int, batch_size: int) -> None:
        self.console, self.total, self.batch_size = console, total, batch_size
        self._step, self._since, self._speed = start, time.monotonic(), 0.0
        self._next_line = 0.0
        self._bar = None
        if console is not None and console.is_terminal:
            self._bar = Progress(
                TextColumn("[bold]step"),
                MofNCompleteColumn(),
                BarColumn(bar_width=None),
                TextColumn("loss {task.fields[loss]}"),
                TextColumn("{task.fields[speed]} images/s"),
                TimeRemainingColumn(),
                console=console,
            )
            self._task = self._bar.add_task("", total=total, completed=start, loss="-", speed="-")

    def __enter__(self) -> "TrainingProgress":
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    @property
    def images_per_second(self) -> float:
        """Speed of the last steps, loading included."""
        return self._speed

    def advance(self, step: int, loss: float) -> None:
        """Tell that `step` steps are done."""
        now = time.monotonic()
        speed = (step - self._step) * self.batch_size / max(now - self._since, 1e-9)
        self._speed = speed if not self._speed else 0.9 * self._speed + 0.1 * speed
        self._step, self._since = step, now
        if self._bar is not None:
            self._bar.update(
                self._task, completed=step, loss=f"{loss:.3f}", speed=_rate(self._speed)
            )
        elif self.console is not None and (now >= self._next_line or step == self.total):
            left = (self.total - step) * self.batch_size / max(self._speed, 1e-9)
            self.console.print(
                f"step {step}/{self.total}  loss {loss:.3f}  {_rate(self._speed)} images/s  "
                f"{_duration(left)} left",
                highlight=False,
                soft_wrap=True,
            )
            self._next_line = now + SECONDS_BETWEEN_LINES


def _rate(speed: float) -> str:
    """Two digits at least: a large model on a CPU takes seconds for an image."""
    return f"{speed:.0f}" if speed >= 10 else f"{speed:.2g}"


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}"
