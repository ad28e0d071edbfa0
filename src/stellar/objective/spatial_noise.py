"""Gumbel noise on L where the full view is drawn in training (`objective.spatial_noise`): it keeps
L from carrying the picture in its fine shades.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from stellar.processes.exchange import place


def perturbed(
    spatial: Float[Tensor, "B P K"], noise: float, generator: torch.Generator | None = None
) -> Float[Tensor, "B P K"]:
    """softmax(log L + noise * g), g Gumbel: at noise 1 the largest share is a sample from L.

    log L is the logits but for a constant of each row, so this is noise on the logits.
    """
    tiny = torch.finfo(torch.float32).tiny
    exponential = -uniform(spatial.shape, spatial.device, generator).clamp_min(tiny).log()
    gumbel = -exponential.clamp_min(tiny).log()
    return (spatial.clamp_min(tiny).log() + noise * gumbel).softmax(dim=2)


def uniform(
    shape: Sequence[int], device: torch.device, generator: torch.Generator | None = None
) -> Tensor:
    """Random numbers in [0, 1) for this process's rows of a batch that all processes share.

    With generators of the same seed, the batch has the same numbers on any number of processes.
    """
    first, total = place(shape[0], device)
    whole = torch.rand(total, *shape[1:], generator=generator, device=device)
    return whole[first : first + shape[0]]
