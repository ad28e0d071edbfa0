"""Bad settings, refused with a sentence."""

import difflib
import logging
from collections.abc import Iterable
from functools import cache
from numbers import Integral
from typing import Any, Literal, get_args, get_origin, get_type_hints

from stellar.errors import UserError

logger = logging.getLogger(__name__)
LARGEST = 1_000_000
"""Of the numbers of settings, but for counts and seeds of a training."""
MOST_WORKERS = 1024
"""Processes that read pictures for one process of a command."""


class ConfigError(UserError):
    """A setting that cannot work; the message names it, what was expected and what came."""


def nearest(word: object, known: Iterable[str], cutoff: float = 0.5) -> str:
    """`; did you mean ...?` when a known word is near, else nothing. `cutoff` is the least ratio of
    difflib: 0.5 sees two letters of four that changed places.
    """
    close = difflib.get_close_matches(str(word), list(known), n=1, cutoff=cutoff)
    return f"; did you mean {close[0]!r}?" if close else ""


def check_choices(config: Any, section: str) -> None:
    """Fields typed as a Literal hold one of its values."""
    for name, kind in get_type_hints(type(config)).items():
        value = getattr(config, name)
        if get_origin(kind) is Literal and value not in get_args(kind):
            choices = get_args(kind)
            raise ConfigError(
                f"{section}.{name} must be one of {', '.join(choices)}, "
                f"got {value!r}{nearest(str(value), choices)}"
            )


def check_numbers(config: Any, section: str, largest_whole: int = LARGEST) -> None:
    """Raises ConfigError for a number that is not finite, or larger than anything that makes sense,
    of either sign.
    """
    for name in config.__dataclass_fields__:
        value = getattr(config, name)
        for number in value if isinstance(value, tuple) else (value,):
            if isinstance(number, int | float):
                largest = largest_whole if isinstance(number, int) else LARGEST
                require(
                    abs(number) <= largest,
                    f"{section}.{name} must be a number up to {largest:,}, got {number}",
                )


def check_at_least(config: Any, section: str, least: float, *names: str) -> None:
    """Raises ConfigError for a field that is smaller."""
    for name in names:
        value = getattr(config, name)
        require(value >= least, f"{section}.{name} must be at least {least}, got {value}")


def check_workers(count: int, name: str) -> None:
    """Raises ConfigError for a number of reading processes that no machine has a use for."""
    require(
        isinstance(count, Integral) and 0 <= count <= MOST_WORKERS,
        f"{name} must be a whole number from 0 to {MOST_WORKERS:,}, got {count!r}",
    )


def check_count(count: int, name: str, least: int = 1) -> None:
    """Raises ConfigError for what is no whole number, or too small."""
    require(
        isinstance(count, Integral) and count >= least,
        f"{name} must be a whole number of at least {least}, got {count!r}",
    )


def check_seed(seed: int, name: str = "seed") -> None:
    """Raises ConfigError for what no generator of random numbers can start from."""
    require(
        isinstance(seed, Integral) and 0 <= seed < 2**63,
        f"{name} must be a whole number from 0 to 2^63 - 1, got {seed!r}",
    )


def require(condition: bool, message: str) -> None:
    if not condition:
        raise ConfigError(message)


@cache
def warn(message: str) -> None:
    """A log line, once in a process: a configuration is built anew with each change to it."""
    logger.warning(message)
