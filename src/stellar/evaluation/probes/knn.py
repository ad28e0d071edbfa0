"""k nearest neighbours: the k training images of highest cosine vote for their class.

    vote(c) = sum over the neighbours i of class c of exp(cos_i / temperature)

(Wu et al. 2018, as in DINO's evaluation). Both sides go through in parts, so that memory grows
with neither. Equal cosines rank the earlier training image first, and equal votes the lower class:
the same numbers on every run.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor

KS = (10, 20, 50, 100)
"""Numbers of neighbours that vote."""
TEMPERATURE = 0.07

QUERIES = 256
"""Test images at once: few enough for a processor to keep what it compares close at hand."""
_COSINE_UNIT = 2**30
_VOTE_UNIT = 2**40


def knn_accuracy(
    train: Float[Tensor, "n d"],
    train_labels: Int64[Tensor, " n"],
    test: Float[Tensor, "m d"],
    test_labels: Int64[Tensor, " m"],
    ks: Sequence[int] = KS,
    temperature: float = TEMPERATURE,
    chunk_size: int = 4096,
) -> dict[int, float]:
    """The share of test images whose class the vote names, for each k.

    Arguments as for `knn_predict`.
    """
    predictions = knn_predict(train, train_labels, test, ks, temperature, chunk_size)
    truth = test_labels.to(test.device)
    return {k: (named == truth).double().mean().item() for k, named in predictions.items()}


def knn_predict(
    train: Float[Tensor, "n d"],
    train_labels: Int64[Tensor, " n"],
    test: Float[Tensor, "m d"],
    ks: Sequence[int] = KS,
    temperature: float = TEMPERATURE,
    chunk_size: int = 4096,
) -> dict[int, Int64[Tensor, " m"]]:
    """The class with the largest vote for each k; all vote where there are fewer than k.

    It runs where `test` is, in its precision or fp32 if that is finer; `train` may be elsewhere (a
    memory map, say), and comes over `chunk_size` images at a time.
    """
    labels = train_labels.to(test.device)
    test = test.to(torch.promote_types(test.dtype, torch.float32))
    parts = []
    for queries in F.normalize(test, dim=1).split(QUERIES):
        cosine, index = _nearest(train, queries, max(ks), chunk_size)
        weight = ((cosine - cosine[:, :1]) / temperature).exp()
        parts.append(_vote(labels[index], weight, ks, int(labels.max()) + 1))
    return {k: torch.cat([part[k] for part in parts]) for k in sorted(ks)}


def _nearest(
    train: Float[Tensor, "n d"], queries: Float[Tensor, "b d"], count: int, chunk_size: int
) -> tuple[Float[Tensor, "b k"], Int64[Tensor, "b k"]]:
    """Cosines and indices of the nearest training images, the nearest first.

    One integer holds both, cosine 2^62 - index, so that no two are equal and their order is total.
    """
    best = torch.empty(len(queries), 0, dtype=torch.int64, device=queries.device)
    for start in range(0, len(train), chunk_size):
        rows = F.normalize(train[start : start + chunk_size].to(queries), dim=1)
        keys = (queries @ rows.T).mul_(_COSINE_UNIT).round_().long()
        keys <<= 32
        keys -= torch.arange(start, start + len(rows), device=queries.device)
        nearest = keys.topk(min(count, len(rows)), dim=1).values
        candidates = torch.cat((best, nearest), dim=1)
        best = candidates.topk(min(count, candidates.shape[1]), dim=1).values
    index = -best & 0xFFFFFFFF
    return ((best + index) >> 32).to(queries.dtype) / _COSINE_UNIT, index


def _vote(
    labels: Int64[Tensor, "b k"],
    weight: Float[Tensor, "b k"],
    ks: Sequence[int],
    num_classes: int,
) -> dict[int, Int64[Tensor, " b"]]:
    """The winners after the first k of the sorted neighbours, for each k."""
    # Integers: their sum does not depend on the order in which a GPU adds.
    ballots = (weight * _VOTE_UNIT).long()
    votes = torch.zeros(len(labels), num_classes, dtype=torch.int64, device=labels.device)
    winners, counted = {}, 0
    for k in sorted(ks):
        votes = votes.scatter_add(1, labels[:, counted:k], ballots[:, counted:k])
        winners[k], counted = votes.argmax(dim=1), k
    return winners
