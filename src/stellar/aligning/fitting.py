"""The map from tokens to the tower's space, fitted.

To what the tower says of pictures, by ridge regression, whose solution is exact:

    A, b = argmin sum_i |A s_i + b - t_i|^2 + strength n |A|^2

To captions, by the contrastive loss of CLIP (Radford et al. 2021): of all captions each picture's
own has to be the nearest, and the other way round.
"""

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float32
from torch import Tensor

from stellar.aligning.examples import Examples
from stellar.searching.vectors import unit

STRENGTHS = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
"""Of the ridge; the best one on the examples held out is taken."""
STEPS, BATCH, LEARNING_RATE = 600, 512, 1e-3
"""Of the contrastive loss."""
ROWS_AT_ONCE = 1024
"""Examples that are compared with all others at a time: those of COCO together would take 14 GB."""


class Map(NamedTuple):
    """A and b."""

    weight: Float32[np.ndarray, "E D"]
    bias: Float32[np.ndarray, "E"]

    def __call__(self, sparse: Float32[np.ndarray, "n D"]) -> Float32[np.ndarray, "n E"]:
        return unit(sparse @ self.weight.T + self.bias)


class Fitted(NamedTuple):
    """A map, and how well it does on examples that it was not fitted to."""

    map: Map
    cosine: float
    """Mean, to the tower's vectors."""
    baseline: float
    """Of the mean of all of the tower's vectors, which knows nothing of the tokens."""
    rank: float
    """How many of the other pictures' vectors are nearer than an example's own: the median share; 0
    at best, 0.5 by chance.
    """


def fit_ridge(train: Examples, held_out: Examples) -> Fitted:
    """To the tower's pictures."""
    maps = [ridge(train, strength) for strength in STRENGTHS]
    best = max(maps, key=lambda one: _cosine(one(held_out.sparse), held_out.target))
    return _judged(best, train, held_out)


def ridge(examples: Examples, strength: float) -> Map:
    """The formula above; b is what is left of the means."""
    sparse, target = (
        torch.from_numpy(each).double() for each in (examples.sparse, examples.target)
    )
    centre, mean = sparse.mean(dim=0), target.mean(dim=0)
    x, y = sparse - centre, target - mean
    gram = x.T @ x + strength * len(x) * torch.eye(x.shape[1], dtype=torch.double)
    weight = torch.linalg.solve(gram, x.T @ y).T
    return Map(weight.float().numpy(), (mean - weight @ centre).float().numpy())


def fit_contrastive(train: Examples, held_out: Examples, seed: int = 0) -> Fitted:
    """To captions, from where the ridge ends."""
    start = ridge(train, STRENGTHS[2])
    weight, bias = (torch.tensor(each, requires_grad=True) for each in start)
    scale = torch.tensor(np.log(1 / 0.07), dtype=torch.float32, requires_grad=True)
    optimizer = torch.optim.AdamW(
        [{"params": [weight], "weight_decay": 0.1}, {"params": [bias, scale], "weight_decay": 0.0}],
        lr=LEARNING_RATE,
    )
    sparse, target = torch.from_numpy(train.sparse), torch.from_numpy(train.target)
    generator = torch.Generator().manual_seed(seed)
    for _ in range(STEPS):
        some = torch.randperm(len(sparse), generator=generator)[:BATCH]
        loss = contrastive(sparse[some] @ weight.T + bias, target[some], scale)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    found = Map(weight.detach().numpy(), bias.detach().numpy())
    return _judged(found, train, held_out)


def contrastive(
    mapped: Float32[Tensor, "n E"], target: Float32[Tensor, "n E"], scale: Float32[Tensor, ""]
) -> Float32[Tensor, ""]:
    """CLIP's loss, of vectors of any length and vectors of length 1; `scale` is the logarithm of
    1 / temperature, at most 100. The same caption twice counts as two that are both right.
    """
    similarity = scale.exp().clamp(max=100) * F.normalize(mapped, dim=1) @ target.T
    same = (target @ target.T > 1 - 1e-5).float()
    return (_cross_entropy(similarity, same) + _cross_entropy(similarity.T, same)) / 2


def _cross_entropy(
    similarity: Float32[Tensor, "n m"], right: Float32[Tensor, "n m"]
) -> Float32[Tensor, ""]:
    wanted = right / right.sum(dim=1, keepdim=True)
    return -(wanted * similarity.log_softmax(dim=1)).sum(dim=1).mean()


def _judged(found: Map, train: Examples, held_out: Examples) -> Fitted:
    mapped = found(held_out.sparse)
    even = np.broadcast_to(unit(train.target.mean(axis=0)), held_out.target.shape)
    return Fitted(
        found,
        _cosine(mapped, held_out.target),
        _cosine(even, held_out.target),
        _rank(mapped, held_out),
    )


def _cosine(one: np.ndarray, other: np.ndarray) -> float:
    return float((one * other).sum(axis=1).mean())


def _rank(mapped: np.ndarray, held_out: Examples) -> float:
    """The same vector twice, as of the same caption, is right twice."""
    target, picture = held_out.target, held_out.picture
    shares = []
    for start in range(0, len(target), ROWS_AT_ONCE):
        some = slice(start, start + ROWS_AT_ONCE)
        others = (target[some] @ target.T < 1 - 1e-5) & (picture[some, None] != picture)
        own = (mapped[some] * target[some]).sum(axis=1, keepdims=True)
        nearer = (mapped[some] @ target.T > own) & others
        shares.append(nearer.sum(axis=1) / np.maximum(others.sum(axis=1), 1))
    return float(np.median(np.concatenate(shares)))
