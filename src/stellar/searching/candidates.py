"""Which pictures may answer a query, best bound first: all of them, or those that an approximate
index finds.

A bound is never below the picture's score (scoring.py), so whoever goes down the list may stop when
the scores found are above the bounds to come.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Float32, Int64

from stellar.searching.places import Box, most_within
from stellar.searching.rows import ROWS_AT_ONCE, InMemory, Rows
from stellar.searching.scoring import Query, cosines_of


@dataclass(frozen=True)
class Candidates:
    """Pictures, and what none of them scores more than."""

    numbers: Int64[np.ndarray, "n"]
    bounds: Float32[np.ndarray, "n"]
    """Falling."""
    others: float
    """The bound of all pictures that are not listed; -inf: there are none."""

    def first(self, count: int) -> "Candidates":
        """The best of them; those that are left out count among the others."""
        others = max([self.others, *self.bounds[count : count + 1].tolist()])
        return Candidates(self.numbers[:count], self.bounds[:count], others)


def every_picture(tokens: InMemory, query: Query) -> Candidates:
    """All pictures."""
    num_pictures, num_tokens = tokens.sparse.shape[:2]
    directions, bounds = torch.from_numpy(query.wanted).T.contiguous(), torch.empty(num_pictures)
    step = max(1, ROWS_AT_ONCE // num_tokens)
    for start in range(0, num_pictures, step):
        some = slice(start, start + step)
        sparse = tokens.sparse[some].float()  # PyTorch converts halves much faster
        if query.asks_shares:
            unit, shares = sparse * tokens.inverse_lengths[some, :, None], tokens.shares[some]
            cosines = torch.from_numpy(cosines_of(query, unit.numpy(), shares.numpy()))
        else:
            cosines = (sparse @ directions) * tokens.inverse_lengths[some, :, None]
        bounds[some] = cosines.amax(dim=1).clamp(min=0).mean(dim=1)
    order = torch.argsort(bounds, descending=True, stable=True)
    return Candidates(order.numpy(), bounds[order].numpy(), -np.inf)


def nearest_pictures(
    rows: Rows,
    wanted: Float32[np.ndarray, "q D"],
    nearest: int,
    cells: int,
    place: Box | None = None,
) -> Candidates:
    """The pictures of the `nearest` tokens of each wanted one, as the approximate index has them,
    which looks at `cells` of its cells. A wanted token has at most the last cosine found for it
    with all that was not found. At a place, a cosine counts by what the token's box, which is read
    much faster than its map, lets lie there at most.
    """
    found: pa.Table = (
        rows.tokens.search(list(wanted) if len(wanted) > 1 else wanted[0])
        .distance_type("cosine")
        .nprobes(cells)
        .limit(nearest)
        .select(["picture", "_distance", *([] if place is None else ["box"])])
        .to_arrow()
    )
    # Of directions in 8 bits LanceDB gives the squared distance, 2 - 2 cos. If it gave 1 - cos,
    # these would be too high, which costs time alone.
    cosines = 1 - 0.5 * found["_distance"].to_numpy().astype(np.float32)
    which = found["query_index"].to_numpy() if len(wanted) > 1 else np.zeros(len(cosines), int)
    last = np.ones(len(wanted), np.float32)
    np.minimum.at(last, which, cosines)
    if place is not None:
        boxes = found["box"].combine_chunks().flatten().to_numpy().reshape(-1, 4)
        cosines = cosines * most_within(boxes, place)
    ids, picture = np.unique(found["picture"].to_numpy(), return_inverse=True)
    best = np.tile(last, (len(ids), 1))
    np.maximum.at(best, (picture, which), cosines)
    bounds = best.clip(min=0).mean(axis=1)
    order = np.argsort(-bounds, kind="stable")
    numbers = rows.numbers_of(ids)[order]
    return Candidates(numbers, bounds[order], float(last.clip(min=0).mean()))
