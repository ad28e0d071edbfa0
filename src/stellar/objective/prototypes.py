"""Prototype heads: cross-entropy to an assignment over many prototypes, without keeping rows x
prototypes.

With t = W' q, and rows of q that sum to 1, the loss of a row x is  logsumexp(W x / tau) - <t, x>
/ tau. t is `prototype_dim` wide and computed once for each token of the full view; every other
view gathers its rows. Both functions below work in chunks of rows: the loss takes its gradient in
the forward pass, and q is computed again from Sinkhorn's potentials when the gradient of t
arrives. Exact: loss and gradients are those of the plain formula.

Under autocast, a GPU multiplies in fp16, summed in fp32: the 8 bits of bf16 would be too few for
logits over a temperature, and the probabilities that fp16 rounds to 0, below 3e-8, are together
less than a thousandth of their row. The logits of targets are fp32 always.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from stellar.model.transformer import Mlp, init_weights, normal
from stellar.objective.sinkhorn import Potentials, sinkhorn

CHUNK_ELEMENTS = 1 << 21
"""Size of the largest temporary matrix (rows x prototypes): what a cache holds."""
CHUNK_ELEMENTS_CUDA = 1 << 23
"""The same on a GPU."""


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
        for rows in _row_slices(self.features, self.prototypes):
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
    def forward(ctx: Any, prototypes: Tensor, assignment: Assignment, half: bool) -> Tensor:
        ctx.assignment, ctx.half = assignment, half
        narrow = prototypes.half() if half else prototypes
        return torch.cat([_product(q, narrow) for _, q in assignment.chunks()])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        # Too small for fp16.
        gradient = gradients[0].bfloat16() if ctx.half else gradients[0]
        total = torch.zeros_like(ctx.assignment.prototypes)
        for rows, q in ctx.assignment.chunks():
            _add_product(total, q.T, gradient[rows])
        return total, None, None


def mean_prototype(
    prototypes: Float[Tensor, "C d"], assignment: Assignment
) -> Float[Tensor, "N d"]:
    """t = q W: the mean of the (student's) prototypes under each token's target."""
    with _own_precision(prototypes) as half:
        return _MeanPrototype.apply(prototypes, assignment, half)  # pyright: ignore[reportReturnType]


class _CrossEntropy(torch.autograd.Function):
    """mean over rows of logsumexp(x W' / tau) - <t, x> / tau, its gradient taken on the way."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, target: Tensor, prototypes: Tensor, tau: float, half: bool
    ) -> Tensor:
        loss, scaled = x.new_zeros(()), x / tau
        wanted = any(ctx.needs_input_grad)
        grad_x = torch.empty_like(x) if wanted else None
        grad_prototypes = torch.zeros_like(prototypes) if wanted else None
        narrow_x, narrow = (x.half(), prototypes.half()) if half else (x, prototypes)
        for rows in _row_slices(x, prototypes):
            logits = _product(scaled[rows], narrow.T)
            normalizer, probability = _softmax(logits, narrow.dtype)
            loss += normalizer.sum()
            if grad_x is not None and grad_prototypes is not None:
                grad_x[rows] = _product(probability, narrow)
                _add_product(grad_prototypes, probability.T, narrow_x[rows])
            del logits, probability  # not beside the next ones
        loss = (loss - (target * scaled).sum()) / len(x)
        if grad_x is not None and grad_prototypes is not None:
            ctx.scale = 1 / (tau * len(x))
            ctx.save_for_backward(grad_x.sub_(target), x, grad_prototypes)
        return loss

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        scale = gradients[0] * ctx.scale
        scales = (scale, -scale, scale)
        parts = zip(scales, ctx.saved_tensors, ctx.needs_input_grad, strict=False)
        given = (factor * saved if needed else None for factor, saved, needed in parts)
        return (*given, None, None)


def cross_entropy(
    x: Float[Tensor, "N d"],
    target: Float[Tensor, "N d"],
    prototypes: Float[Tensor, "C d"],
    temperature: float,
) -> Float[Tensor, ""]:
    """Mean cross-entropy of softmax(x W' / temperature) to the assignments whose mean prototypes
    are `target`.
    """
    with _own_precision(x) as half:
        return _CrossEntropy.apply(x, target, prototypes, temperature, half)  # pyright: ignore[reportReturnType]


def _softmax(
    logits: Float[Tensor, "n C"], dtype: torch.dtype
) -> tuple[Float[Tensor, "n"], Float[Tensor, "n C"]]:
    """logsumexp of each row, and its softmax in the given precision; the logits are lost."""
    log_probability = logits.log_softmax(dim=1)
    normalizer = logits[:, 0] - log_probability[:, 0]
    probability = logits if dtype == logits.dtype else torch.empty_like(logits, dtype=dtype)
    return normalizer, torch.exp(log_probability, out=probability)


@contextmanager
def _own_precision(x: Tensor) -> Iterator[bool]:
    """A context without autocast. It gives True where products are to be in half precision, which
    takes autocast's place.
    """
    half = x.is_cuda and torch.is_autocast_enabled("cuda")
    with torch.autocast(x.device.type, enabled=False):
        yield half


def _product(left: Float[Tensor, "n k"], right: Float[Tensor, "k m"]) -> Float[Tensor, "n m"]:
    """In the precision of `right`; from half precision, summed in fp32 and given in it."""
    if right.element_size() > 2:
        return left @ right
    return torch.mm(left.to(right.dtype), right, out_dtype=torch.float32)


def _add_product(
    total: Float[Tensor, "n m"], left: Float[Tensor, "n k"], right: Float[Tensor, "k m"]
) -> None:
    """total += left @ right, as `_product` does it."""
    if right.element_size() > 2:
        total.addmm_(left, right)
    else:
        total += _product(left, right)


def _row_slices(x: Tensor, prototypes: Tensor) -> Iterator[slice]:
    elements = CHUNK_ELEMENTS_CUDA if x.is_cuda else CHUNK_ELEMENTS
    size = max(1, elements // len(prototypes))
    return (slice(start, min(start + size, len(x))) for start in range(0, len(x), size))
