"""What a search gives: pictures, and which of their tokens matched, where."""

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float16

from stellar.searching.places import Box, in_words, places
from stellar.searching.rows import Rows
from stellar.searching.scoring import Scores


@dataclass(frozen=True, repr=False)
class Match:
    """A picture's token that answers one of the query's."""

    token: int
    cosine: float
    """With the query's; at a place, times the part of its map that lies there."""
    centre: tuple[float, float]
    """x, y in [0, 1] of the picture that the model saw, as are all places (places.py)."""
    spread: float
    box: Box
    share: float
    map: Float16[np.ndarray, "h w"] = field(compare=False)

    @property
    def place(self) -> str:
        """Where it lies, in words."""
        return in_words(*self.centre, self.spread)

    def __repr__(self) -> str:
        return (
            f"Match(token {self.token}, cosine {self.cosine:z.3f}, {self.place}, "
            f"{self.share:.0%} of the picture)"
        )


@dataclass(frozen=True, repr=False)
class Hit:
    """A picture that answers a query."""

    score: float
    path: str
    matches: tuple[Match, ...]
    """For each of the query's tokens, in its order."""
    size: tuple[int, int] | None
    """Width and height in pixels, where the index knows them."""
    thumbnail: bytes
    """JPEG, or empty."""

    def strongest(self, count: int) -> list[Match]:
        """The matches with the largest cosine times share: what explains next to nothing of the
        picture may well have the largest cosine, and tells nothing.
        """
        return sorted(self.matches, key=lambda match: -match.cosine * match.share)[:count]

    def __repr__(self) -> str:
        size = "unknown size" if self.size is None else f"{self.size[0]} x {self.size[1]} pixels"
        return f"Hit(score {self.score:z.3f}, {self.path!r}, {size}, {len(self.matches)} matches)"


def hits(scores: Scores, rows: Rows) -> list[Hit]:
    """The pictures that have these scores, in the same order."""
    if len(scores.numbers) == 0:
        return []
    pictures, maps = rows.some(scores.numbers), rows.maps(scores.numbers)
    where = places(maps)
    return [
        Hit(
            float(scores.total[place]),
            row.path,
            tuple(
                Match(
                    token,
                    cosine,
                    tuple(where.centre[place, token].tolist()),
                    float(where.spread[place, token]),
                    tuple(where.box[place, token].tolist()),
                    float(where.share[place, token]),
                    maps[place, token],
                )
                for token, cosine in zip(
                    scores.token[place].tolist(), scores.cosine[place].tolist(), strict=True
                )
            ),
            row.size,
            row.thumbnail,
        )
        for place, row in enumerate(pictures)
    ]
