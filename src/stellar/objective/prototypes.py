"""Prototype heads: cross-entropy to an assignment over many prototypes, without keeping rows x
prototypes.

With t = W' q, and rows of q that sum to 1, the loss of a row x is  logsumexp(W x / tau) - <t, x>
/ tau. t is `prototype_dim` wide and computed once for each token of the full view; every other
view gathers its rows. Both functions below work in chunks of rows: the loss takes its gradient in
the forward pass, and q is computed again from Sinkhorn's potentials when the gradient of t
arrives. Exact: loss and gradients are those of the plain formula.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from stellar.model.transformer import Mlp, init_weights, normal
from stellar.objective.sinkhorn import Potentials, sinkhorn

CHUNK_ELEMENTS = 1 << 21
"""Size of the largest temporary matrix (rows x prototypes) of the prediction loss."""


class PrototypeHead(nn.Module):
    """A token's features on the unit sphere (MLP, L2-normalised in fp32), and the prototypes W to
    compare them with.
    """

    def __init__(self, in_dim: int, hidden_dim: int, prototype_dim: int, count: int) -> None:
        super().__init__()
        self.mlp = Mlp(in_dim, hidden_dim, prototype_dim)
        self.prototypes = nn.Parameter(normal(count, prototype_dim))
        init_weights(self)

    def forward(self, tokens: Float[Tensor, "*rows D"]) -> Float[Tensor, "rows_flat d"]:
        return F.normalize(self.mlp(tokens).flatten(0, -2).float(), dim=1, eps=1e-7)


@dataclass(frozen=True)
class Assignment:
    """The target q of N tokens over C prototypes, in factored form."""

    features: Float[Tensor, "N d"]
    """Features of the tokens, from the head that gave the target."""
    prototypes: Float[Tensor, "C d"]
    """That head's prototypes."""
    potentials: Potentials

    def chunks(self) -> Iterator[tuple[slice, Float[Tensor, "n C"]]]:
        """Consecutive rows of q."""
        for rows in _row_slices(len(self.features), len(self.prototypes)):
            yield rows, self.potentials.assignment(self.features[rows] @ self.prototypes.T, rows)


@torch.no_grad()
def assign(
    features: Float[Tensor, "N d"],
    prototypes: Float[Tensor, "C d"],
    temperature: float,
    iterations: int,
    scale: float,
) -> Assignment:
    """The balanced assignment of these tokens, over all processes; carries no gradient."""
    features, prototypes = features.detach(), prototypes.detach()
    potentials = sinkhorn(features @ prototypes.T, temperature, iterations, scale)
    return Assignment(features, prototypes, potentials)


class _MeanPrototype(torch.autograd.Function):
    """t = q W. Saves q's factors, not q."""

    @staticmethod
    def forward(ctx: Any, prototypes: Tensor, assignment: Assignment) -> Tensor:
        ctx.assignment = assignment
        return torch.cat([q @ prototypes for _, q in assignment.chunks()])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (gradient,) = gradients
        total = torch.zeros_like(ctx.assignment.prototypes)
        for rows, q in ctx.assignment.chunks():
            total.addmm_(q.T, gradient[rows])
        return total, None


def mean_prototype(
    prototypes: Float[Tensor, "C d"], assignment: Assignment
) -> Float[Tensor, "N d"]:
    """t = q W: the mean of the (student's) prototypes under each token's target."""
    return _MeanPrototype.apply(prototypes, assignment)  # pyright: ignore[reportReturnType]


class _CrossEntropy(torch.autograd.Function):
    """mean over rows of logsumexp(x W' / tau) - <t, x> / tau, its gradient taken on the way."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, target: Tensor, prototypes: Tensor, tau: float) -> Tensor:
        count = len(x)
        loss = x.new_zeros(())
        wanted = any(ctx.needs_input_grad)
        grad_x = torch.empty_like(x) if wanted else None
        grad_prototypes = torch.zeros_like(prototypes) if wanted else None
        for rows in _row_slices(count, len(prototypes)):
            logits = (x[rows] @ prototypes.T).div_(tau)
            normalizer = logits.logsumexp(dim=1)
            loss += normalizer.sum()
            if grad_x is not None and grad_prototypes is not None:
                probability = logits.sub_(normalizer[:, None]).exp_()
                torch.mm(probability, prototypes, out=grad_x[rows])
                grad_prototypes.addmm_(probability.T, x[rows])
        loss = (loss - (target * x).sum() / tau) / count
        if grad_x is not None and grad_prototypes is not None:
            ctx.scale = 1 / (tau * count)
            ctx.save_for_backward(grad_x.sub_(target), x, grad_prototypes)
        return loss

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        scale = gradients[0] * ctx.scale
        scales = (scale, -scale, scale)
        parts = zip(scales, ctx.saved_tensors, ctx.needs_input_grad, strict=False)
        return (*(factor * saved if needed else None for factor, saved, needed in parts), None)


def cross_entropy(
    x: Float[Tensor, "N d"],
    target: Float[Tensor, "N d"],
    prototypes: Float[Tensor, "C d"],
    temperature: float,
) -> Float[Tensor, ""]:
    """Mean cross-entropy of softmax(x W' / temperature) to the assignments whose mean prototypes
    are `target`.
    """
    return _CrossEntropy.apply(x, target, prototypes, temperature)  # pyright: ignore[reportReturnType]


def _row_slices(rows: int, columns: int) -> Iterator[slice]:
    size = max(1, CHUNK_ELEMENTS // columns)
    return (slice(start, min(start + size, rows)) for start in range(0, rows, size))
