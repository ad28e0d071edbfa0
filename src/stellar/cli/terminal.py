"""What commands say while they work, as opposed to their results: `-q` leaves it out, `-v` says
more. And how wide.
"""

import logging
import shutil
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from textwrap import fill
from typing import TYPE_CHECKING

from stellar.errors import Interrupted

if TYPE_CHECKING:
    from rich.console import Console

    from stellar.evaluation.subject import Progress

QUIET, VERBOSE = ("-q", "--quiet"), ("-v", "--verbose")
LOGGER = logging.getLogger("stellar")

LARGEST_WIDTH = 100
"""Columns that sentences are filled to at most: longer lines are hard to read."""


class _OnTerminal(logging.Handler):
    """What the package logs, as lines of the terminal."""

    def emit(self, record: logging.LogRecord) -> None:
        print(f"{record.levelname.lower()}: {record.getMessage()}", file=sys.stderr)


ON_TERMINAL = _OnTerminal()


def set_loudness(arguments: Sequence[str]) -> list[str]:
    """Takes -q and -v, wherever they stand, and returns the other arguments. PyTorch's advice on
    how many workers a machine with few cores should have is for nobody.
    """
    LOGGER.addHandler(ON_TERMINAL)  # once, however often it is called
    warnings.filterwarnings("ignore", "This DataLoader will create")
    end = arguments.index("--") if "--" in arguments else len(arguments)
    asked, rest = arguments[:end], arguments[end:]
    if any(each in QUIET for each in asked):
        LOGGER.setLevel(logging.ERROR)
    else:
        verbose = any(each in VERBOSE for each in asked)
        LOGGER.setLevel(logging.INFO if verbose else logging.WARNING)
    return [*(each for each in asked if each not in (*QUIET, *VERBOSE)), *rest]


def is_quiet() -> bool:
    """Whether nothing but results and errors is to be said."""
    return LOGGER.level >= logging.ERROR


def is_verbose() -> bool:
    """Whether more is to be said, such as where an error came from."""
    return LOGGER.level <= logging.INFO


def console(silent: bool = False) -> "Console":
    """For what is said on the way; `silent` where another process says it."""
    from rich.console import Console

    return Console(quiet=silent or is_quiet())


@contextmanager
def going_on() -> Iterator[None]:
    """For what the same command goes on with after Ctrl-C: raises Interrupted, which says so."""
    try:
        yield
    except KeyboardInterrupt:
        raise Interrupted("stopped; the same command goes on where it was") from None


@contextmanager
def progress_line(silent: bool = False) -> Iterator["Progress"]:
    """A line that says what is being done, how much of it, and how long it takes yet: called with
    (what is done, done, in all). It goes when the work ends. Nothing is said where no terminal
    shows it, and by a `silent` one, where another process has it.
    """
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("{task.description}", markup=False), MofNCompleteColumn(), BarColumn(None),
        TimeRemainingColumn(),
    )  # fmt: skip
    shown = console(silent)
    with Bar(*columns, console=shown, transient=True, disable=not shown.is_terminal) as bar:
        task = bar.add_task("", total=None)
        yield lambda what, done, total: bar.update(
            task, description=what, completed=done, total=total
        )


def filled(text: str, indent: int = 0) -> str:
    """One paragraph in lines that fit the terminal, all but the first indented."""
    width = min(shutil.get_terminal_size().columns, LARGEST_WIDTH)
    return fill(
        text, width, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False
    )
