"""What is measured, and the numbers that were found: what every evaluator yields, and what tables,
pages and files are made of.

What a number is of lies in the fields of its quantity; the quantity's name is for people alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean, stdev


@dataclass(frozen=True)
class Quantity:
    """What a number is of. Numbers of two models are compared where they are of one quantity: where
    test, metric, feature, label, probe and k are the same.
    """

    test: str
    """The name of the evaluator that measures it, a key of the evaluation's protocol."""
    name: str = field(compare=False)
    """What people read; no two quantities of a test have the same."""
    metric: str
    """What is measured, as top-1, mIoU or PSNR."""
    feature: str = ""
    """The part of the representation that is judged: cls, S, L, U, Z, or two of them, as S+cls
    (side by side) and S and L (tokens, and where they are); empty where it is the whole, or was
    chosen on the way.
    """
    label: str = ""
    """What is to be named (class, place, ...), or how the picture is changed (shift, ...)."""
    probe: str = ""
    """What reads the feature: kNN, or linear."""
    k: int | None = None
    """The number of neighbours that vote, or of tokens that are kept."""
    unit: str = field(default="", compare=False)
    digits: str = field(default="", compare=False)
    """How a value is written, as .2f; empty: by its size."""
    baseline: str = field(default="", compare=False)
    """What the baseline of its scores is, in words."""


@dataclass(frozen=True)
class Score:
    """One number, with what it was measured by."""

    quantity: Quantity
    value: float
    """The mean over seeds, where there is randomness."""
    detail: str = ""
    """What was chosen on the way, and how many pictures or objects it is of, where not all."""
    spread: float | None = None
    """Standard deviation over seeds; None where nothing is random, or one seed was run."""
    baseline: float | None = None
    """The same number where there is nothing to know, or nothing to follow."""

    @classmethod
    def over_seeds(cls, quantity: Quantity, values: Sequence[float], detail: str = "") -> "Score":
        """Mean and spread of a value for each seed."""
        spread = stdev(values) if len(values) > 1 else None
        return cls(quantity, fmean(values), detail, spread)

    @property
    def number(self) -> str:
        """The value with as many digits as it deserves, without its unit."""
        return self._written(self.value)

    @property
    def without_unit(self) -> str:
        """Value and spread."""
        return f"{self.number} {self.spread_text}".rstrip()

    @property
    def text(self) -> str:
        """Value, spread and unit."""
        return f"{self.without_unit} {self.quantity.unit}".rstrip()

    @property
    def spread_text(self) -> str:
        """The spread, with the digits of the value; empty where there is none."""
        return "" if self.spread is None else f"± {self._written(self.spread)}"

    @property
    def baseline_text(self) -> str:
        """What the baseline is, and its value; empty where there is none."""
        if self.baseline is None:
            return ""
        return f"{self.quantity.baseline} {self._written(self.baseline)}"

    def _written(self, value: float) -> str:
        large = self.quantity.unit or abs(self.value) >= 100
        return format(value, self.quantity.digits or (",.1f" if large else ".3f"))


@dataclass(frozen=True)
class ModelScores:
    """All numbers of one model."""

    name: str
    sha256: str
    preprocessing: str
    num_unreadable: int
    scores: tuple[Score, ...]
    notes: tuple[str, ...] = ()
    """What could not be measured, and what would make it possible."""

    def score(self, quantity: Quantity) -> Score | None:
        """The number of this quantity, where it was measured."""
        return next((score for score in self.scores if score.quantity == quantity), None)


@dataclass(frozen=True)
class Evaluation:
    """Several models on the same pictures."""

    data: str
    """How the pictures were divided."""
    num_train: int
    num_test: int
    classes: tuple[str, ...]
    chance: float | None
    """Share of the largest class among the test pictures; None where they have no classes."""
    protocol: Mapping[str, str]
    """How each test is made, in words, and its settings."""
    models: tuple[ModelScores, ...]
    fingerprint: str = ""
    """Of the pictures and their labels; empty in a file from before it was kept."""
    asked: str = ""
    """Of what a study asked for, in the file that it keeps; empty elsewhere."""
