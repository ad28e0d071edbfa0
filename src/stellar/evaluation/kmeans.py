"""k-means of each picture's patches by itself: the usual segmentation by features that have no maps
of their own, here of unit length, so that distance is cosine.

The first centres are drawn as in k-means++ (Arthur and Vassilvitskii, 2007): each patch with a
probability that grows with its squared distance to the centres so far.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor

ITERATIONS = 20


def kmeans(
    features: Float[Tensor, "b p d"], num_clusters: int, generator: torch.Generator
) -> Int64[Tensor, "b p"]:
    """The cluster of every patch, from 0; fewer clusters are used where fewer patches differ."""
    x = F.normalize(features.float(), dim=2)
    centres = _first_centres(x, num_clusters, generator)
    for _ in range(ITERATIONS):
        member = F.one_hot(_nearest(x, centres), num_clusters).to(x.dtype)
        count = member.sum(dim=1).unsqueeze(2)
        means = torch.einsum("bpk,bpd->bkd", member, x) / count.clamp_min(1)
        centres = torch.where(count > 0, means, centres)
    return _nearest(x, centres)


def _nearest(x: Float[Tensor, "b p d"], centres: Float[Tensor, "b k d"]) -> Int64[Tensor, "b p"]:
    return (2 * x @ centres.mT - centres.square().sum(dim=2).unsqueeze(1)).argmax(dim=2)


def _first_centres(
    x: Float[Tensor, "b p d"], num_clusters: int, generator: torch.Generator
) -> Float[Tensor, "b {num_clusters} d"]:
    """Drawn on the CPU, so that they are the same on every device."""
    distance = torch.ones(x.shape[:2])
    centres = []
    for _ in range(num_clusters):
        chosen = torch.multinomial(distance + 1e-6, 1, generator=generator).squeeze(1)
        centre = x[torch.arange(len(x)), chosen.to(x.device)].unsqueeze(1)
        centres.append(centre)
        squared = (x - centre).square().sum(dim=2).cpu()
        distance = torch.minimum(distance, squared) if len(centres) > 1 else squared
    return torch.cat(centres, dim=1)
