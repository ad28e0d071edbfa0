"""The terms of the objective, by name; the weight of a term `x` is
`ObjectiveConfig.x_weight`.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from typing import TypeVar

import torch
from jaxtyping import Float
from torch import Tensor

from stellar.config import ObjectiveConfig
from stellar.processes.exchange import all_sum

Given = TypeVar("Given")
Scalar = Float[Tensor, ""]
RECONSTRUCTION_WEIGHT = {"pixels": 10.0, "codes": 0.05}


@dataclass(frozen=True)
class Losses:
    """Unweighted terms; None where a term is switched off or belongs to another group of views."""

    reconstruction: Scalar | None = None
    token_clustering: Scalar | None = None
    cls_clustering: Scalar | None = None
    set_alignment: Scalar | None = None
    cls_masked: Scalar | None = None
    cls_local: Scalar | None = None
    koleo: Scalar | None = None
    masked_reconstruction: Scalar | None = None

    def present(self) -> Iterator[tuple[str, Scalar]]:
        """(name, value) of the terms that are there."""
        for field in fields(self):
            value = getattr(self, field.name)
            if value is not None:
                yield field.name, value

    def total(self, weights: Mapping[str, float]) -> Scalar | None:
        """The weighted sum; None when no term is there."""
        terms = [value * weights[name] for name, value in self.present()]
        return torch.stack(terms).sum() if terms else None

    def __add__(self, other: "Losses") -> "Losses":
        """Term by term: a term is the sum over the groups and portions that have it."""
        merged = dict(self.present())
        for name, value in other.present():
            merged[name] = merged[name] + value if name in merged else value
        return Losses(**merged)

    def __mul__(self, share: float) -> "Losses":
        """Every term times `share`: the part that some of a group's views have in its mean."""
        return Losses(**{name: value * share for name, value in self.present()})

    def summed(self) -> "Losses":
        """Every term's sum over all processes, in one exchange."""
        terms = dict(self.present())
        if not terms:
            return self
        sums = all_sum(torch.stack(list(terms.values())))
        return Losses(**dict(zip(terms, sums, strict=True)))

    def detached(self) -> "Losses":
        """The same values without their graphs."""
        return Losses(**{name: value.detach() for name, value in self.present()})


def weights_of(objective: ObjectiveConfig, target: str) -> dict[str, float]:
    """The weight of each term; by default that of reconstruction depends on its target, pixels or
    codes.
    """
    weights = {field.name: getattr(objective, f"{field.name}_weight") for field in fields(Losses)}
    if weights["reconstruction"] is None:
        weights["reconstruction"] = RECONSTRUCTION_WEIGHT[target]
    return weights


def term(
    objective: ObjectiveConfig, name: str, given: Given | None, compute: Callable[[Given], Scalar]
) -> Scalar | None:
    """A term's value, computed from what is given; None, and nothing computed, where the term is
    switched off. What only terms that are off would read need not be there.
    """
    if not objective.on(name):
        return None
    assert given is not None, f"{name} is on, and nothing was made for it"
    return compute(given)
