"""How well pictures answer a query: MaxSim, at a place, without something.

For wanted tokens w and a picture with tokens s_k and maps p_k (places.py),

    score = mean over w of max over k of cos(w, s_k)        MaxSim (Khattab & Zaharia 2020)

At a place, each cosine, no less than 0, is first multiplied by the part of p_k that lies there.
Words are vectors w of another space, to which a map takes the tokens first (words.py).

Tokens which explain less than SILENT of an even share of their picture do not count: they answer
neither at a place, where next to nothing of them is to be seen, nor to words: the map was hardly
shown any, and finds in them whatever comes. Nor do they to concepts, of which a picture has those
of its tokens that count (concepts.py), wanted or not.

What is not wanted lowers the score by the largest cosine, no less than 0, of any of its tokens with
any of the picture's. So MaxSim of cosines that are no less than 0 is a bound that no score exceeds.
"""

from dataclasses import dataclass, field, fields

import numpy as np
from jaxtyping import Bool, Float, Float32, Int64

from stellar.searching.places import Box, mass_within
from stellar.searching.words import Words

SILENT = 1 / 3
"""Of an even share, 1 / K of the picture; tokens with less do not count."""


@dataclass(frozen=True, eq=False)
class Query:
    """What is looked for: vectors of length 1."""

    wanted: Float32[np.ndarray, "q E"]
    """Tokens, or with `words` vectors of the space that they map to."""
    unwanted: Float32[np.ndarray, "u D"] = field(
        default_factory=lambda: np.zeros((0, 0), np.float32)
    )
    box: Box | None = None
    """Where the wanted tokens have to lie; None: anywhere."""
    words: Words | None = None
    """What takes tokens to the space of the wanted vectors; None: they are tokens."""
    counted: bool = False
    """Whether only tokens that count answer what is wanted, as concepts."""
    counted_against: bool = False
    """Whether only tokens that count are held against what is not wanted, as concepts."""

    @property
    def asks_shares(self) -> bool:
        """Whether it is asked which tokens count, but at a place, where maps say so."""
        return self.counted or self.counted_against or self.words is not None


@dataclass(frozen=True)
class Scores:
    """How well pictures answer, and with which of their tokens."""

    numbers: Int64[np.ndarray, "n"]
    """Of the pictures."""
    total: Float32[np.ndarray, "n"]
    token: Int64[np.ndarray, "n q"]
    """The picture's token that answers each wanted one best."""
    cosine: Float32[np.ndarray, "n q"]
    """Of these two; at a place, times the mass there."""


def cosines_of(
    query: Query, sparse: Float[np.ndarray, "n K D"], shares: Float[np.ndarray, "n K"] | None
) -> Float32[np.ndarray, "n K q"]:
    """The cosines of tokens, of length 1, with what is wanted; -1 for those that do not answer."""
    cosines = (sparse if query.words is None else query.words(sparse)) @ query.wanted.T
    if (query.counted or query.words is not None) and shares is not None:
        cosines[~answers(shares)] = -1
    return cosines


def answers(shares: Float[np.ndarray, "n K"]) -> Bool[np.ndarray, "n K"]:
    """Which tokens explain enough of their picture to be asked."""
    return shares * shares.shape[1] >= SILENT


def score(
    query: Query,
    numbers: Int64[np.ndarray, "n"],
    sparse: Float32[np.ndarray, "n K D"],
    maps: Float[np.ndarray, "n K h w"] | None = None,
    shares: Float[np.ndarray, "n K"] | None = None,
) -> Scores:
    """The scores of pictures with these tokens, of length 1; maps are read for a place alone, and
    shares of the picture where a query asks them.
    """
    cosines = np.moveaxis(cosines_of(query, sparse, shares), 2, 1)  # n q K
    if query.box is not None and maps is not None:
        there = mass_within(maps, query.box) * answers(maps.mean(axis=(2, 3), dtype=np.float32))
        cosines = cosines.clip(min=0) * there[:, None]
    token = cosines.argmax(axis=2)
    best = np.take_along_axis(cosines, token[..., None], axis=2)[..., 0]
    total = best.mean(axis=1)
    if len(query.unwanted):
        against = sparse @ query.unwanted.T
        if query.counted_against and shares is not None:
            against[~answers(shares)] = 0
        total = total - against.max(axis=(1, 2)).clip(min=0)
    return Scores(numbers, total, token, best)


def best_of(one: Scores, other: Scores, count: int) -> Scores:
    """The best of both, falling; of equals, the picture of the lower number comes first."""
    numbers, total, token, cosine = (
        np.concatenate([getattr(one, field.name), getattr(other, field.name)])
        for field in fields(Scores)
    )
    best = np.lexsort((numbers, -total))[:count]
    return Scores(numbers[best], total[best], token[best], cosine[best])


def no_scores(query: Query) -> Scores:
    """Of no pictures."""
    nothing = np.zeros((0, len(query.wanted)))
    return Scores(
        np.zeros(0, np.int64),
        np.zeros(0, np.float32),
        nothing.astype(np.int64),
        nothing.astype(np.float32),
    )
