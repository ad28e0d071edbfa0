"""Numbers with their protocol: what every test yields, and what tables, pages and files are made
of.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean, stdev

from stellar.errors import UserError


@dataclass(frozen=True)
class Score:
    """One number, with what it was measured by."""

    test: str
    """The group that it belongs to, a key of the evaluation's protocol."""
    name: str
    value: float
    """The mean over seeds, where there is randomness."""
    unit: str = ""
    detail: str = ""
    """What was chosen on the way, and how many pictures or objects it is of, where not all."""
    spread: float | None = None
    """Standard deviation over seeds; None where nothing is random, or one seed was run."""
    chance: float | None = None
    """What always naming the largest class gives, where something is named."""

    @classmethod
    def over_seeds(
        cls, test: str, name: str, values: Sequence[float], unit: str = "", detail: str = ""
    ) -> "Score":
        """Mean and spread of a value for each seed."""
        spread = stdev(values) if len(values) > 1 else None
        return cls(test, name, fmean(values), unit, detail, spread)


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

    def score(self, test: str, name: str) -> Score | None:
        """The number of this name, where it was measured."""
        found = (score for score in self.scores if (score.test, score.name) == (test, name))
        return next(found, None)


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

    def to_json(self) -> str:
        """Everything, as the text of report.json."""
        return json.dumps(asdict(self), indent=2) + "\n"

    @classmethod
    def read(cls, file: Path) -> "Evaluation":
        """What `to_json` wrote into this file. Raises UserError for anything else."""
        try:
            fields = json.loads(file.read_text())
            models = (
                model
                | {"scores": tuple(Score(**score) for score in model["scores"])}
                | {"notes": tuple(model["notes"])}
                for model in fields["models"]
            )
            fields |= {"models": tuple(ModelScores(**model) for model in models)}
            fields |= {"classes": tuple(fields["classes"]), "protocol": dict(fields["protocol"])}
            return cls(**fields)
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"{file} is damaged, or from another version of stellar; delete it, and its model "
                "is judged again"
            ) from error
