"""KoLeo: tokens of one image keep their distance, by the Kozachenko-Leonenko estimate of entropy.

- mean over tokens of log(0.5 d + 1e-8), d the distance to the nearest other token of the same
image, after L2-normalisation (Sablayrolles et al. 2019, as used in DINOv2).
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def koleo(tokens: Float[Tensor, "B K D"]) -> Float[Tensor, ""]:
    """The loss, in fp32 whatever the tokens' precision; 0 for a single token."""
    count = tokens.shape[1]
    if count < 2:
        return tokens.float().sum() * 0
    unit = F.normalize(tokens.float(), dim=2)
    with torch.no_grad():
        similarity = unit @ unit.mT
        similarity.diagonal(dim1=1, dim2=2).fill_(-2)
        nearest = similarity.argmax(dim=2)
    neighbour = unit.gather(1, nearest.unsqueeze(2).expand_as(unit))
    distance = F.pairwise_distance(unit, neighbour)
    return -torch.log(0.5 * distance + 1e-8).mean()
