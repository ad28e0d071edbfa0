"""A plan of steps that have so many seconds each: what it is made of, and how it is run.

A step that fails, hangs or is slow costs nothing but itself; one that the time does not reach is
not begun.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from limited import GRACE, Limited


@dataclass(frozen=True)
class Day:
    """Where to, at which sizes, and until when."""

    out: Path
    toy: bool
    end: float
    """By the monotonic clock."""

    @property
    def left(self) -> float:
        return self.end - monotonic()


@dataclass(frozen=True)
class Step:
    """One part of a plan."""

    name: str
    seconds: float
    """At most; fewer where the day ends before."""
    run: Callable[[Day, "Step", float], str]
    """Does it in so many seconds and says in some words what came of it. Raises StepFailed."""
    file: str
    """What it writes."""
    modules: tuple[str, ...] = ()
    """Benchmarks whose rows it measures."""
    beside: bool = False
    """It begins together with the step before it, since neither is timed."""


class StepFailed(Exception):
    """A step ended early; the message says why."""


@dataclass(frozen=True)
class Done:
    """What became of a step."""

    step: Step
    seconds: float
    succeeded: bool
    outcome: str


def run_plan(day: Day, plan: Sequence[Step], after: Callable[[], None]) -> Iterator[Done]:
    """Step by step; `after` is called when those that began together are done."""
    for together in groups(plan):
        with ThreadPoolExecutor(len(together)) as pool:
            try:
                yield from pool.map(lambda step: begin(day, step), together)
            except BaseException:
                Limited.stop_all()
                raise
        after()


def groups(plan: Sequence[Step]) -> Iterator[list[Step]]:
    """Steps that begin together."""
    group: list[Step] = []
    for step in plan:
        if group and not step.beside:
            yield group
            group = []
        group.append(step)
    yield group


def begin(day: Day, step: Step) -> Done:
    """One step, within its seconds and the day's."""
    start, seconds = monotonic(), min(step.seconds, day.left)
    if seconds < 2 * GRACE:
        return Done(step, 0.0, False, "not reached: the day was over")
    try:
        outcome, succeeded = step.run(day, step, seconds), True
    except StepFailed as failure:
        outcome, succeeded = str(failure), False
    except Exception as error:  # whatever it was, the next step is worth its time
        outcome, succeeded = f"{type(error).__name__}: {error}", False
    return Done(step, monotonic() - start, succeeded, outcome)
