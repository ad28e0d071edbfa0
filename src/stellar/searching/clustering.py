"""Vectors of length 1 in groups, each around a centre of length 1: spherical k-means (Dhillon and
Modha 2001), which makes the mean cosine of vectors and their centres as large as it can.

The first centres are drawn as in k-means++ (Arthur and Vassilvitskii 2007): each next one with a
chance in proportion to 1 - cos with the nearest centre so far.
"""

import torch
from jaxtyping import Float32, Int64
from torch import Tensor

MOST_ROUNDS = 50
AT_ONCE = 65_536
"""Vectors whose cosines with all centres are in memory."""


def spherical_kmeans(
    vectors: Float32[Tensor, "n D"], count: int, seed: int = 0
) -> Float32[Tensor, "c D"]:
    """The centres of `count` groups; fewer where there are fewer different vectors. The same seed
    gives the same centres.
    """
    centres = _drawn(vectors, count, torch.Generator().manual_seed(seed))
    before = torch.full((len(vectors),), -1)
    for _ in range(MOST_ROUNDS):
        group, _ = nearest_centre(vectors, centres)
        if torch.equal(group, before):
            break
        before = group
        sums = torch.zeros_like(centres).index_add_(0, group, vectors)
        lengths = sums.norm(dim=1, keepdim=True)
        # A centre that lost all of its vectors, or whose vectors cancel out, stays where it was.
        centres = torch.where(lengths > 0, sums / lengths.clamp(min=1e-12), centres)
    return centres


def nearest_centre(
    vectors: Float32[Tensor, "n D"], centres: Float32[Tensor, "c D"]
) -> tuple[Int64[Tensor, "n"], Float32[Tensor, "n"]]:
    """Of each vector the centre with the largest cosine, and that cosine."""
    found = [(part @ centres.T).max(dim=1) for part in vectors.split(AT_ONCE)]
    return torch.cat([each.indices for each in found]), torch.cat([each.values for each in found])


def _drawn(
    vectors: Float32[Tensor, "n D"], count: int, generator: torch.Generator
) -> Float32[Tensor, "c D"]:
    chosen = [int(torch.randint(len(vectors), (1,), generator=generator))]
    far = 1 - vectors @ vectors[chosen[0]]
    while len(chosen) < count and far.max() > 1e-4:  # else all that is left are copies
        chosen.append(int(torch.multinomial(far.clamp(min=0), 1, generator=generator)))
        far = torch.minimum(far, 1 - vectors @ vectors[chosen[-1]])
    return vectors[chosen]
