"""Which pictures each step of a published probe learns from: nine tenths of the training set in a
new order every epoch; the last tenth is kept away from it, and nothing is chosen by it.

A step may be of more pictures than a model encodes at once, so they come in portions.
"""

from collections.abc import Iterator, Sized
from dataclasses import dataclass
from typing import TypeVar

import torch

from stellar.config import EvaluationConfig
from stellar.evaluation.probes.holdout import hold_out, shuffled

Portion = TypeVar("Portion", bound=Sized)
CLIPPING = 5.0
"""Largest norm of the gradient, in all of them."""
WEIGHT_DECAY = 1e-4
"""Of AdamW, on every parameter, in all of them; the learning rate is constant."""


@dataclass(frozen=True)
class Steps:
    """All steps of one training."""

    num_pictures: int
    epochs: int
    batch_size: int
    """Pictures of a step; the last one of an epoch has what is left."""
    at_once: int
    """Pictures of a portion."""
    seed: int

    def portions(self) -> Iterator[list[int]]:
        """Places e N + i of each portion's pictures."""
        for epoch, rows in self._rows():
            for portion in (epoch * self.num_pictures + rows).split(self.at_once):
                yield portion.tolist()

    def together(self, portions: Iterator[Portion]) -> Iterator[list[Portion]]:
        """The portions of each step, once they are read; the length of one counts its pictures
        that could not be read too.
        """
        for _, rows in self._rows():
            found, count = [], 0
            while count < len(rows):
                found.append(next(portions))
                count += len(found[-1])
            yield found

    @property
    def count(self) -> int:
        """Of all of them."""
        return self.epochs * -(-len(self._fitted()[0]) // self.batch_size)

    def _fitted(self) -> tuple[torch.Tensor, torch.Generator]:
        generator = torch.Generator().manual_seed(self.seed)
        return hold_out(self.num_pictures, generator)[1], generator

    def _rows(self) -> Iterator[tuple[int, torch.Tensor]]:
        """Epoch and pictures of each step."""
        fitted, generator = self._fitted()
        for epoch in range(self.epochs):
            for rows in shuffled(fitted, 1, self.batch_size, generator):
                yield epoch, rows


def epochs_of(settings: EvaluationConfig, published: int) -> int:
    """As published, unless the settings say otherwise."""
    return settings.published_epochs or published


def budget(settings: EvaluationConfig, published: int) -> str:
    """The epochs, in words that say where they are not the published ones."""
    epochs = epochs_of(settings, published)
    changed = "" if epochs == published else f", not the {published} that are published"
    return f"{epochs} epoch{'s' * (epochs > 1)}{changed}"
