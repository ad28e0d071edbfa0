"""Matching of two sets of tokens: which token of the full view does each token of another view
stand for?

Entropic optimal transport between the two sets, cost = Euclidean distance, a few rounds of
Sinkhorn in the log domain.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor


@torch.no_grad()
def transport_plan(
    prediction: Float[Tensor, "B K D"],
    target: Float[Tensor, "B J D"],
    epsilon: float,
    iterations: int,
) -> Float[Tensor, "B K J"]:
    """log-domain Sinkhorn between uniform marginals; rows are predictions, columns targets."""
    kernel = -torch.cdist(prediction.float(), target.float()) / epsilon
    predictions, targets = kernel.shape[1:]
    u = kernel.new_zeros(len(kernel), predictions, 1)
    v = kernel.new_zeros(len(kernel), 1, targets)
    for _ in range(iterations):
        u = -torch.logsumexp(kernel + v, dim=2, keepdim=True)
        v = -torch.logsumexp(kernel + u, dim=1, keepdim=True)
    return torch.exp(kernel + u + v)


def match(
    prediction: Float[Tensor, "B K D"],
    target: Float[Tensor, "B J D"],
    epsilon: float,
    iterations: int,
) -> Int[Tensor, "B K"]:
    """For each predicted token, the target token that gets most of its mass. Not one-to-one by
    construction.
    """
    return transport_plan(prediction, target, epsilon, iterations).argmax(dim=2)
