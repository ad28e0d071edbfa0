"""What a test is given: one model, the data it is judged on, and what is shared between tests."""

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from stellar.config import DecoderConfig, EvaluationConfig, Fit
from stellar.data.folder import DataError
from stellar.data.labelled import MaskedSplits, Splits
from stellar.evaluation.features.cache import Unreadable
from stellar.evaluation.features.patches import Patches, extract_patches
from stellar.evaluation.features.pictures import Features, extract
from stellar.model import Stellar
from stellar.quantities import counted
from stellar.storage import one_line

Made = TypeVar("Made")
Progress = Callable[[str, int, int], object]
"""Called with (what is done, pictures done, pictures in all)."""
FEW_STEPS = 200
"""Steps below which a note says that what was fitted may be far from trained."""


def silent(_what: str, _done: int, _total: int) -> None:
    """Progress that nobody sees."""


@dataclass(frozen=True)
class Subject:
    """One model on one data set. Features are extracted when the first test asks for them."""

    name: str
    model: Stellar
    data: Splits | MaskedSplits
    settings: EvaluationConfig
    folder: Path
    """For what is kept on the disk between tests; it is removed at the end."""
    decoder: DecoderConfig = field(default_factory=lambda: DecoderConfig(target="pixels"))
    """Of the decoder on frozen features: the paper's 6 layers, 512 wide."""
    progress: Progress = silent
    notes: list[str] = field(default_factory=list)
    """What a test could not measure, and what would make it possible: a sentence each."""
    num_unreadable: dict[str, int] = field(default_factory=dict)
    """Pictures of each part, train and test, that were asked for and could not be read."""
    _made: dict[Hashable, Any] = field(default_factory=dict)

    def once(self, name: Hashable, make: Callable[[], Made]) -> Made:
        """What `make` gives the first time that this name is asked for: what is fitted for one test
        serves another.
        """
        if name not in self._made:
            self._made[name] = make()
        return self._made[name]

    @property
    def fit(self) -> Fit:
        """How pictures are brought to the model's size: whole where they have masks."""
        return "squash" if isinstance(self.data, MaskedSplits) else "crop"

    @cached_property
    def train(self) -> Features:
        """Of the training pictures, which must be labelled."""
        return self._extract("train")

    @cached_property
    def test(self) -> Features:
        """Of the test pictures, which must be labelled."""
        return self._extract("test")

    def note(self, sentence: str) -> None:
        """Add to `notes`, once."""
        if sentence not in self.notes:
            self.notes.append(sentence)

    def note_steps(self, fitted: str, steps: int) -> None:
        """A note where something was fitted in so few steps that its numbers may say more of them
        than of the model.
        """
        if steps < FEW_STEPS:
            epochs = math.ceil(FEW_STEPS * self.settings.epochs / steps)
            self.note(
                f"{fitted} took only {counted(steps, 'step')} of training on so few pictures, and "
                f"may be far from trained: a larger --epochs trains further, as --epochs {epochs} "
                f"for {FEW_STEPS} steps or more"
            )

    @cached_property
    def train_patches(self) -> Patches:
        """Of the training pictures, where they have masks."""
        return self._extract_patches("train")

    @cached_property
    def test_patches(self) -> Patches:
        """Of the test pictures, where they have masks."""
        return self._extract_patches("test")

    def _extract(self, part: str) -> Features:
        assert isinstance(self.data, Splits)
        images = getattr(self.data, part)
        features = extract(
            self.model,
            images,
            self.folder / part,
            self.settings.batch_size,
            self.settings.num_workers,
            lambda done, total: self.progress(f"{self.name}, {part}", done, total),
            self.settings.attentive,
        )
        self.left_out(part, len(images), features.unreadable)
        if part == "train" and not self.data.multi_label:
            _require_every_class(self.data.classes, images.labels, features)
        return features

    def left_out(self, part: str, total: int, unreadable: Unreadable) -> None:
        """Count these of the pictures of a part, train or test, and say so in a note, so that
        nobody takes a score for that of all pictures.
        """
        self.num_unreadable[part] = len(unreadable)
        if unreadable:
            name, reason = map(one_line, unreadable[0])
            self.note(
                f"{len(unreadable)} of {total} {part} pictures could not be read and are left out, "
                f"as {name} ({reason})"
            )

    def _extract_patches(self, part: str) -> Patches:
        images = getattr(self.data, part)
        patches = extract_patches(
            self.model,
            images,
            len(self.data.classes),
            self.folder / f"{part}-patches",
            self.settings.batch_size,
            self.settings.num_workers,
            lambda done, total: self.progress(f"{self.name}, patches of {part}", done, total),
        )
        self.left_out(part, len(images), patches.unreadable)
        return patches


def _require_every_class(classes: Sequence[str], labels: np.ndarray, features: Features) -> None:
    """Raises DataError for a class that nothing can be learned of, since no picture was read."""
    lost = set(labels.tolist()) - set(features.labels.tolist())
    if lost:
        name, reason = map(one_line, features.unreadable[0])
        raise DataError(
            f"no train picture of the class {classes[min(lost)]} can be read, and each class "
            f"needs one; the first of {len(features.unreadable)} that cannot is {name} ({reason})"
        )
