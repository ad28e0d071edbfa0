"""Which pictures each step of a published probe learns from: nine tenths of the training set in a
new order every epoch; the last tenth is kept away from it, and nothing is chosen by it.

A step may be of more pictures than a model encodes at once, so they come in portions.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, TypeVar

import torch
from jaxtyping import Int64
from torch import Tensor

from stellar.config import EvaluationConfig
from stellar.data.folder import DataError
from stellar.evaluation.features.cache import Unreadable
from stellar.evaluation.probes.holdout import hold_out, shuffled
from stellar.evaluation.subject import Subject

CLIPPING = 5.0
"""Largest norm of the gradient, in all of them."""
WEIGHT_DECAY = 1e-4
"""Of AdamW, on every parameter, in all of them; the learning rate is constant."""


class Read(Protocol):
    """A portion once it was read; its length counts the pictures that could not be read too."""

    @property
    def unreadable(self) -> Unreadable: ...

    def __len__(self) -> int: ...


Portion = TypeVar("Portion", bound=Read)


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
        """The portions of each step, once they are read."""
        for _, rows in self._rows():
            found, count = [], 0
            while count < len(rows):
                found.append(next(portions))
                count += len(found[-1])
            yield found

    @property
    def count(self) -> int:
        """Of all of them."""
        fitted, _ = self._fitted()
        return self.epochs * -(-len(fitted) // self.batch_size)

    def _fitted(self) -> tuple[Int64[Tensor, " n"], torch.Generator]:
        """The pictures of every epoch, and what decides their order."""
        generator = torch.Generator().manual_seed(self.seed)
        return hold_out(self.num_pictures, generator)[1], generator

    def _rows(self) -> Iterator[tuple[int, Int64[Tensor, " n"]]]:
        """Epoch and pictures of each step."""
        fitted, generator = self._fitted()
        for epoch in range(self.epochs):
            for rows in shuffled(fitted, 1, self.batch_size, generator):
                yield epoch, rows


def readable(
    subject: Subject, test: str, steps: Steps, portions: Iterator[Portion]
) -> Iterator[list[Portion]]:
    """The portions of each step in which some picture could be read. At the end the others are
    noted; raises DataError if there was none that could.
    """
    unreadable: dict[str, str] = {}
    total, learned = steps.count, False
    for step, together in enumerate(steps.together(portions), 1):
        unreadable |= dict(pair for portion in together for pair in portion.unreadable)
        found = [portion for portion in together if len(portion) > len(portion.unreadable)]
        if found:
            learned = True
            yield found
        subject.progress(f"{subject.name}, {test}", step, total)
    if not learned:
        raise DataError(f"none of {steps.num_pictures} training pictures can be read")
    subject.left_out("train", steps.num_pictures, tuple(unreadable.items()))


def epochs_of(settings: EvaluationConfig, published: int) -> int:
    """As published, unless the settings say otherwise."""
    return settings.published_epochs or published


def budget(settings: EvaluationConfig, published: int) -> str:
    """The epochs, in words that say where they are not the published ones."""
    epochs = epochs_of(settings, published)
    changed = "" if epochs == published else f", not the {published} that are published"
    return f"{epochs} epoch{'s' * (epochs > 1)}{changed}"
