"""k-means of each picture's patches by itself: the usual segmentation by features that have no maps
of their own, here of unit length, so that distance is cosine.

The first centres are drawn as in k-means++ (Arthur and Vassilvitskii, 2007): each patch with a
probability that grows with its squared distance to the centres so far.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor

STARTS = 5
"""Of which each picture keeps the one that ends with the least distance to its centres."""
ITERATIONS = 20


def kmeans(
    features: Float[Tensor, "b p d"], num_clusters: int, generator: torch.Generator
) -> Int64[Tensor, "b p"]:
    """The cluster of every patch, from 0; fewer clusters are used where fewer patches differ."""
    x = F.normalize(features.float(), dim=2)
    clusters, distances = zip(
        *(_run(x, _first_centres(x, num_clusters, generator)) for _ in range(STARTS)), strict=True
    )
    best = torch.stack(distances).argmin(dim=0)
    return torch.stack(clusters)[best, torch.arange(len(x), device=x.device)]


def _run(
    x: Float[Tensor, "b p d"], centres: Float[Tensor, "b k d"]
) -> tuple[Int64[Tensor, "b p"], Float[Tensor, " b"]]:
    """Clusters after Lloyd's iterations, and the sum of squared distances to their centres."""
    for _ in range(ITERATIONS):
        member = F.one_hot(_nearest(x, centres), centres.shape[1]).to(x.dtype)
        count = member.sum(dim=1).unsqueeze(2)
        means = member.mT @ x / count.clamp_min(1)
        centres = torch.where(count > 0, means, centres)
    cluster = _nearest(x, centres)
    own = centres.gather(1, cluster.unsqueeze(2).expand_as(x))
    return cluster, (x - own).square().sum(dim=(1, 2))


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
