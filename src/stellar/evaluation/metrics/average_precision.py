"""Average precision: how high the images that have a class rank among all, by their scores.

    AP = sum over thresholds t of (recall_t - recall_(t-1)) precision_t

(as scikit-learn's average_precision_score). A threshold is a score that occurs, the highest first,
so images of equal score come in together, in whatever order they are stored.
"""

import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor


def average_precision(
    scores: Float[Tensor, "n c"], labels: Bool[Tensor, "n c"]
) -> Float64[Tensor, " c"]:
    """Of each class, in [0, 1]; nan for one that no image has."""
    scores, order = scores.sort(dim=0, descending=True)
    hits = labels.gather(0, order).double()
    rank = torch.arange(1, len(scores) + 1, device=scores.device)[:, None].expand_as(order)
    # Each image counts with the precision at the last one of its score.
    tied = torch.zeros_like(labels)
    tied[:-1] = scores[:-1] == scores[1:]
    last = rank.masked_fill(tied, len(scores)).flip(0).cummin(dim=0).values.flip(0)
    precision = hits.cumsum(dim=0).gather(0, last - 1) / last
    return (hits * precision).sum(dim=0) / hits.sum(dim=0)


def mean_average_precision(
    scores: Float[Tensor, "n c"], labels: Bool[Tensor, "n c"]
) -> Float64[Tensor, ""]:
    """The mean over the classes that an image has, each with the same weight; 0 if none has any."""
    return average_precision(scores, labels).nanmean().nan_to_num()
