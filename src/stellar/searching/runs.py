"""Where in a table the rows of each picture lie.

Rows come in by rising keys, and a table keeps them so, but for the pieces that LanceDB writes anew
as it puts a table in order (`optimize`), which it sets behind all others. Within a run of rows each
key is the one before plus 1, so where a run begins says where all of its rows lie, and a table of
any length has but a few of them.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64


@dataclass(frozen=True)
class Runs:
    """A table of the keys 0, 1, ..., as it lies on the disk."""

    keys: Int64[np.ndarray, "r"]
    """The first of each run, rising."""
    places: Int64[np.ndarray, "r"]
    """The row that it begins at."""

    def places_of(self, keys: Int64[np.ndarray, "*n"]) -> Int64[np.ndarray, "*n"]:
        """The rows that have these keys."""
        run = np.searchsorted(self.keys, keys, side="right") - 1
        return self.places[run] + keys - self.keys[run]


def runs(batches: Iterable[Int64[np.ndarray, "_"]]) -> Runs:
    """Of a table's keys, in the order of its rows. Raises ValueError where they are not 0, 1, ...,
    each once.
    """
    keys, places, done, last = [], [], 0, -2  # no key: the first row begins a run
    for batch in batches:
        begin = np.flatnonzero(np.diff(batch, prepend=last) != 1)
        keys.append(batch[begin])
        places.append(done + begin)
        done, last = done + len(batch), batch[-1]
    first, place = (
        np.concatenate(parts) if parts else np.zeros(0, int) for parts in (keys, places)
    )
    lengths = np.diff(place, append=done)
    order = np.argsort(first)
    if (first[order] != np.cumsum(lengths[order]) - lengths[order]).any():
        raise ValueError("rows are missing, or there twice")
    return Runs(first[order], place[order])
