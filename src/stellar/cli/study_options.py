"""What `stellar compare` and `stellar ablate` are both told: the run that is varied, its data."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from stellar.cli.pretrain import start_from
from stellar.config import ModelConfig, RunConfig
from stellar.errors import UserError

if TYPE_CHECKING:
    from stellar.data import MaskedSplits, Splits


@dataclass(frozen=True)
class StudyOptions:
    """What to train on, what to judge by, and where to."""

    out: Path
    """Folder for the runs and the report."""
    data: str = "scenes"
    """Folder of images, or scenes: the embedded ones."""
    test: str | None = None
    """Pictures with labels or masks, as for `stellar evaluate`; by default the same as DATA."""
    preset: Annotated[str | None, tyro.conf.arg(metavar="PRESET")] = None
    """The run that all others are variants of; demo by default."""
    config: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """A run.toml in its place."""
    num_seeds: int = 3
    """Trainings of each variant."""

    def require_seeds(self) -> None:
        """Raises UserError where nothing would be trained."""
        if self.num_seeds < 1:
            raise UserError(f"--num-seeds must be at least 1, got {self.num_seeds}")

    def base(self, steps: int | None) -> RunConfig:
        """The run that all others are variants of; None: with its own steps. Raises UserError."""
        run = replace(start_from(self.preset, self.config, "demo"), data=self.data)
        return run if steps is None else run.with_steps(steps)

    def test_data(self, model: ModelConfig) -> "Splits | MaskedSplits":
        """What its models are judged by. Raises UserError."""
        from stellar.data.evaluation_data import open_data
        from stellar.data.labelled import WrongLayout
        from stellar.data.sources import are_shards

        if self.test is not None:
            return open_data(self.test, model)
        if are_shards(self.data):
            raise _test_is_missing(f"shards as {self.data} have no labels")
        try:
            return open_data(self.data, model)
        except WrongLayout as error:
            raise _test_is_missing(error.problem) from error


def _test_is_missing(problem: str) -> UserError:
    """For pictures to train on that nothing can be judged by."""
    return UserError(
        f"without --test, models are judged by the pictures of --data, and {problem}: add --test "
        "with pictures that have labels or masks, as docs/data.md shows"
    )
