"""A line that says what is being done, and how much of it."""

from collections.abc import Iterator
from contextlib import contextmanager

from stellar.evaluation.subject import Progress


@contextmanager
def progress_line() -> Iterator[Progress]:
    """Called with (what is done, done, in all)."""
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
    from rich.progress import Progress as Bar

    with Bar(TextColumn("{task.description}"), MofNCompleteColumn(), BarColumn(None)) as bar:
        task = bar.add_task("", total=None)
        yield lambda what, done, total: bar.update(
            task, description=what, completed=done, total=total
        )
