"""Sinkhorn-Knopp: the assignment of tokens to prototypes that is balanced over the whole global
batch.

    q_ij = exp(l_ij / T + a_i + b_j)

with b so that every prototype gets an equal share, and a so that rows sum to 1.

The two potentials a (rows) and b (prototypes) hold everything: q can be computed again from them,
piece by piece. Sums and maxima over rows run over all processes.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from stellar.processes.exchange import all_max, all_sum


@dataclass(frozen=True)
class Potentials:
    """log q = logits / temperature + row + column."""

    row: Float[Tensor, "N"]
    column: Float[Tensor, "C"]
    temperature: float

    def assignment(
        self, logits: Float[Tensor, "n C"], rows: slice = slice(None)
    ) -> Float[Tensor, "n C"]:
        """q for the given rows, whose logits these are."""
        return (logits / self.temperature).add_(self.row[rows, None]).add_(self.column).exp_()


@torch.no_grad()
def sinkhorn(
    logits: Float[Tensor, "N C"], temperature: float, iterations: int, scale: float = 1.0
) -> Potentials:
    """Balance: each round divides prototypes by (their sum over all rows) ** scale, then rows by
    their sum.

    `logits` must be fp32; N may differ between processes. Source: Caron et al. 2020 (SwAV).
    """
    tiny = torch.finfo(logits.dtype).tiny
    offset = all_max(logits.amax(dim=0)) / temperature
    kernel = (logits / temperature).sub_(offset).exp_()
    row = torch.ones_like(kernel[:, 0])
    column = torch.ones_like(kernel[0])
    for _ in range(iterations):
        column = column / (column * all_sum(row @ kernel)).clamp_min(tiny) ** scale
        column = column / column.amax()  # a common factor, which the rows take back
        row = 1 / (kernel @ column).clamp_min(tiny)
    return Potentials(row.log(), column.log() - offset, temperature)
