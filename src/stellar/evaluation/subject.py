"""What a test is given: one model, the data it is judged on, and what is shared between tests."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from stellar.config import DecoderConfig, Fit
from stellar.data.labelled import Splits
from stellar.data.masked import MaskedSplits
from stellar.evaluation.features import Features, extract
from stellar.evaluation.patches import Patches, extract_patches
from stellar.model import Backbone, Stellar

Progress = Callable[[str, int, int], object]
"""Called with (what is done, pictures done, pictures in all)."""


@dataclass(frozen=True)
class Settings:
    """How the tests are run."""

    batch_size: int = 64
    """Pictures encoded at once."""
    num_workers: int = 0
    """Processes that read pictures; 0 reads in this one."""
    epochs: int = 10
    """Passes of everything that is fitted over its features."""
    num_seeds: int = 3
    """Repetitions of everything random, of which mean and spread are given."""
    seed: int = 0
    """The first of the seeds."""
    num_drawn: int = 2000
    """Test pictures that are drawn again at most, evenly spread; 0: all of them."""
    force_fid: bool = False
    """rFID of fewer than 2,000 pictures too; it is then marked."""
    decoder_steps: int = 0
    """Batches that a decoder on frozen features is trained for, for each seed; 0: none."""
    metric_weights: Path | None = None
    """Folder with the weights for LPIPS and rFID; by default, torch's cache of downloads."""
    decoder: DecoderConfig = field(default_factory=lambda: DecoderConfig(target="pixels"))
    """Of the decoder on frozen features: the paper's 6 layers, 512 wide."""

    @property
    def seeds(self) -> range:
        """All of them."""
        return range(self.seed, self.seed + self.num_seeds)


@dataclass(frozen=True)
class Subject:
    """One model on one data set. Features are extracted when the first test asks for them."""

    name: str
    model: Stellar | Backbone
    data: Splits | MaskedSplits
    settings: Settings
    folder: Path
    """For what is kept on the disk between tests; it is removed at the end."""
    progress: Progress = lambda _what, _done, _total: None
    notes: list[str] = field(default_factory=list)
    """What a test could not measure, and what would make it possible: a sentence each."""

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
        return extract(
            self.model,
            getattr(self.data, part),
            self.folder / part,
            self.settings.batch_size,
            self.settings.num_workers,
            lambda done, total: self.progress(f"{self.name}, {part}", done, total),
        )

    def _extract_patches(self, part: str) -> Patches:
        return extract_patches(
            self.model,
            getattr(self.data, part),
            len(self.data.classes),
            self.folder / f"{part}-patches",
            self.settings.batch_size,
            self.settings.num_workers,
            lambda done, total: self.progress(f"{self.name}, patches of {part}", done, total),
        )
