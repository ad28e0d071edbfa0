"""Which pictures may answer a query, best bound first: all of them, or those that an approximate
index finds.

A bound is never below the picture's score (scoring.py), so whoever goes down the list may stop when
the scores found are above the bounds to come.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Float, Float32, Int64

from stellar.searching.scoring import unit

ROWS_AT_ONCE = 2048
"""Tokens that become single precision together: few enough for a processor's cache."""


@dataclass(frozen=True)
class Candidates:
    """Pictures, and what none of them scores more than."""

    numbers: Int64[np.ndarray, "n"]
    bounds: Float32[np.ndarray, "n"]
    """Falling."""
    others: float
    """The bound of all pictures that are not listed; -inf: there are none."""


def every_picture(
    sparse: Float[np.ndarray, "N K D"], wanted: Float32[np.ndarray, "q D"]
) -> Candidates:
    """All pictures; their bounds are MaxSim itself."""
    num_pictures, num_tokens = sparse.shape[:2]
    bounds = np.empty(num_pictures, np.float32)
    step = max(1, ROWS_AT_ONCE // num_tokens)
    for start in range(0, num_pictures, step):
        cosines = unit(sparse[start : start + step]) @ wanted.T
        bounds[start : start + step] = cosines.max(axis=1).mean(axis=1)
    order = np.argsort(-bounds, kind="stable")
    return Candidates(order.astype(np.int64), bounds[order], -np.inf)


def nearest_pictures(
    tokens: Any, wanted: Float32[np.ndarray, "q D"], nearest: int, cells: int
) -> Candidates:
    """The pictures of the `nearest` tokens of each wanted one, as the approximate index has them,
    which looks at `cells` of its cells. A wanted token has at most the last cosine found for it
    with all that was not found.
    """
    found: pa.Table = (
        tokens.search(list(wanted) if len(wanted) > 1 else wanted[0])
        .distance_type("cosine")
        .nprobes(cells)
        .limit(nearest)
        .select(["picture", "_distance"])
        .to_arrow()
    )
    cosines = 1 - found["_distance"].to_numpy().astype(np.float32)
    which = found["query_index"].to_numpy() if len(wanted) > 1 else np.zeros(len(cosines), int)
    last = np.ones(len(wanted), np.float32)
    np.minimum.at(last, which, cosines)
    numbers, rows = np.unique(found["picture"].to_numpy(), return_inverse=True)
    best = np.tile(last, (len(numbers), 1))
    np.maximum.at(best, (rows, which), cosines)
    bounds = best.mean(axis=1)
    order = np.argsort(-bounds, kind="stable")
    return Candidates(numbers[order].astype(np.int64), bounds[order], float(last.mean()))
