"""The best pictures for a query: of all, or in an approximate index of those that are near what is
wanted, ever further out until none that was not looked at can be better.
"""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Int64

from stellar.searching.candidates import Candidates, every_picture, nearest_pictures
from stellar.searching.rows import Rows
from stellar.searching.scoring import Query, Scores, best_of, no_scores, score
from stellar.searching.vectors import unit

FEWEST, MOST = 64, 512
"""Pictures that are scored together: so many at first, then four times as many, at most."""


@dataclass(frozen=True)
class Effort:
    """How far an approximate search goes; docs/search.md has the recall and the times."""

    nearest: int
    """Tokens that are looked for near each wanted one."""
    cells: int
    """Of the approximate index, that are looked at for all wanted ones; for each at least 3."""
    pictures: int
    """Of those found, that are scored at most."""


EFFORTS = Effort(2000, 12, 256), Effort(8000, 48, 1024), Effort(32_000, 192, 4096)
"""One after the other, until no picture that was not scored can be better."""
DEEPER = 4
"""Times as many are scored where something is not wanted, of which bounds know nothing, or has to
lie at a place, of which they know little.
"""
ROUNDED = 0.02
"""What the bounds of an approximate index, of numbers in 8 bits, may be too low by."""


def best_pictures(rows: Rows, query: Query, count: int, exact: bool = False) -> Scores:
    """So many of the best, which have the best scores of all where the index is not approximate, or
    is asked to be exact.
    """
    if exact or not rows.contents.is_approximate:
        return _down(every_picture(rows.in_memory, query), rows, query, count)
    if query.words is not None:
        return _by_words(rows, query, count)
    deeper = DEEPER if len(query.unwanted) or query.box is not None else 1
    best = no_scores(query)
    for effort in EFFORTS:
        cells = max(3, effort.cells // len(query.wanted))
        near = nearest_pictures(rows, query.wanted, effort.nearest, cells, query.box).first(
            deeper * effort.pictures + count
        )
        best = _down(near, rows, query, count, ROUNDED)
        if len(best.total) == count and best.total[-1] >= near.others + ROUNDED:
            break
    return best


def _by_words(rows: Rows, query: Query, count: int) -> Scores:
    """The approximate index knows tokens alone: it finds those in the direction of the words, and
    all of their pictures are scored.
    """
    assert query.words is not None
    tokens, effort = query.words.directions(query.wanted), EFFORTS[1]
    near = nearest_pictures(rows, tokens, effort.nearest, effort.cells, query.box).first(
        DEEPER * effort.pictures + count
    )
    return _down(replace(near, bounds=np.full_like(near.bounds, 2)), rows, query, count)


def _down(listed: Candidates, rows: Rows, query: Query, count: int, rounded: float = 0.0) -> Scores:
    """The best of a list, scored from its top until no bound, which may be `rounded` down by so
    much, is above what was found.
    """
    best, start, portion = no_scores(query), 0, max(FEWEST, count)
    while start < len(listed.numbers):
        if len(best.total) == count and best.total[-1] >= listed.bounds[start] + rounded:
            break
        found = _scored(rows, query, listed.numbers[start : start + portion])
        best, start = best_of(best, found, count), start + portion
        portion = max(portion, min(4 * portion, MOST))
    return best


def _scored(rows: Rows, query: Query, numbers: Int64[np.ndarray, "n"]) -> Scores:
    maps = None if query.box is None else rows.maps(numbers)
    shares = rows.shares(numbers) if query.asks_shares else None
    return score(query, numbers, unit(rows.sparse(numbers)), maps, shares)
