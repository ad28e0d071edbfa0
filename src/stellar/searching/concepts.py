"""What is in all pictures of an index: its tokens in groups that are alike, each a concept.

A token counts where it explains at least SILENT of an even share of its picture (scoring.py). The
concept of a token is that of the nearest centre (clustering.py). So a concept has pictures, a part
of each of them, which are the shares of its tokens there, and a place, where these lie in the mean.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from jaxtyping import Float32, Int64

from stellar.config import check_count, check_seed
from stellar.data.folder import evenly_spread
from stellar.searching.clustering import nearest_centre, spherical_kmeans
from stellar.searching.hits import Hit, hits
from stellar.searching.rows import Rows
from stellar.searching.scoring import Scores, answers
from stellar.searching.vectors import unit

LEARNED_FROM = 65_536
"""Tokens that the centres are found from, at most: those of pictures that are evenly spread."""
AVERAGED = 64
"""Pictures of a concept, at most, that its place is the mean of."""
NUM_CONCEPTS, EXAMPLES = 24, 8
"""By default, and pictures that are shown of each."""


@dataclass(frozen=True, eq=False)
class Concept:
    """Tokens that are alike."""

    centre: Float32[np.ndarray, "D"] = field(repr=False)
    """Of length 1: a query by it finds more of it."""
    num_pictures: int
    """That have such a token."""
    share: float
    """What these tokens explain of all pictures together."""
    cosine: float
    """Of the tokens and the centre, the mean: how much alike they are."""
    where: Float32[np.ndarray, "h w"] = field(repr=False)
    """What its tokens explain of each patch, in the mean of its pictures."""
    examples: tuple[Hit, ...] = field(repr=False)
    """The tokens nearest to the centre, each of another picture; their score is that cosine."""
    name: str = ""
    """What somebody called it (kept_concepts.py)."""


@dataclass(frozen=True, eq=False)
class Concepts:
    """What an index has: the largest share first, or in the order in which they are kept."""

    concepts: tuple[Concept, ...]
    shares: Float32[np.ndarray, "N c"]
    """What each concept explains of each picture, in the order of the index's paths. The rest of
    a picture, up to 1, is tokens that hardly explain any of it.
    """
    kept: bool = False
    """Whether the index keeps them, so that searches know their numbers and names."""

    @property
    def centres(self) -> Float32[np.ndarray, "c D"]:
        """Of all."""
        return np.stack([concept.centre for concept in self.concepts])


def named(concepts: Iterable[Concept], names: Sequence[str]) -> tuple[Concept, ...]:
    """Concepts that are called so, in their order."""
    pairs = zip(concepts, names, strict=True)
    return tuple(replace(concept, name=name) for concept, name in pairs)


def find_concepts(rows: Rows, count: int, examples: int = EXAMPLES, seed: int = 0) -> Concepts:
    """The tokens of an index in `count` groups, or fewer where there are fewer kinds of tokens,
    with so many examples of each. The tokens are read once, and not kept: a million pictures of 16
    tokens need about a GB. Raises ConfigError for counts below 1, and for what is no seed.
    """
    check_count(count, "count")
    check_seed(seed)
    counted = answers(rows.all_shares)
    some = np.array(evenly_spread(counted, max(1, LEARNED_FROM // counted.shape[1])))
    learned = torch.from_numpy(unit(rows.sparse(some))[counted[some]])
    found = concepts_around(rows, spherical_kmeans(learned, count, seed).numpy(), examples)
    order = [n for n in np.argsort(-found.shares.sum(axis=0)) if found.concepts[n].num_pictures]
    return Concepts(tuple(found.concepts[number] for number in order), found.shares[:, order])


def concepts_around(
    rows: Rows, centres: Float32[np.ndarray, "c D"], examples: int = EXAMPLES
) -> Concepts:
    """The tokens of an index in the groups of given centres, in their order; of some there may be
    no tokens. Raises ConfigError for a count of examples below 0.
    """
    check_count(examples, "examples", least=0)
    counted = answers(rows.all_shares)
    keys = np.flatnonzero(counted)
    picture, token = np.divmod(keys, counted.shape[1])
    group, cosine = np.empty(len(keys), int), np.empty(len(keys), np.float32)
    for read, vectors in rows.all_tokens():
        own = counted.ravel()[read]
        places = np.searchsorted(keys, read[own])
        group[places], cosine[places] = nearest_centre(
            torch.from_numpy(vectors[own]), torch.from_numpy(centres)
        )
    shares = np.zeros((len(counted), len(centres)), np.float32)
    np.add.at(shares, (picture, group), rows.all_shares[counted])
    found = []
    for number, centre in enumerate(centres):
        own = group == number
        found.append(_concept(rows, centre, float(shares[:, number].mean()), picture[own],
                              token[own], cosine[own], examples))  # fmt: skip
    return Concepts(tuple(found), shares)


def _concept(
    rows: Rows,
    centre: Float32[np.ndarray, "D"],
    share: float,
    picture: Int64[np.ndarray, "m"],
    token: Int64[np.ndarray, "m"],
    cosine: Float32[np.ndarray, "m"],
    examples: int,
) -> Concept:
    """Of m tokens: their pictures, their numbers there, and their cosines with the centre."""
    nearest = np.argsort(-cosine, kind="stable")
    _, first = np.unique(picture[nearest], return_index=True)  # of each picture its nearest
    best = nearest[np.sort(first)]
    shown = best[:examples]
    scores = Scores(picture[shown], cosine[shown], token[shown, None], cosine[shown, None])
    where = _mean_map(rows, picture, token)
    alike = float(cosine.mean()) if len(cosine) else 0.0
    return Concept(centre, len(best), share, alike, where, tuple(hits(scores, rows)))


def _mean_map(
    rows: Rows, picture: Int64[np.ndarray, "m"], token: Int64[np.ndarray, "m"]
) -> Float32[np.ndarray, "h w"]:
    """What m tokens explain of the patches of their pictures, in the mean of some of these. The
    pictures rise.
    """
    pictures = np.unique(picture)
    if len(pictures) == 0:
        return np.zeros(rows.contents.model["shapes"]["maps"][1:], np.float32)
    some = pictures[evenly_spread(pictures, AVERAGED)]
    place = np.searchsorted(some, picture).clip(max=len(some) - 1)
    own = np.zeros((len(some), rows.contents.num_tokens), np.float32)
    there = some[place] == picture
    own[place[there], token[there]] = 1
    return np.einsum("nkhw,nk->hw", rows.maps(some).astype(np.float32), own) / len(some)
