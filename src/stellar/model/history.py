"""How a model came about: what its model card tells, carried in its `config.json`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from stellar.storage import at_home


@dataclass(frozen=True)
class History:
    """A training run, up to one checkpoint. Folders are called by their last name alone: a model
    may be shared, a path is private.
    """

    data: str
    """The folder of images, or `scenes` for those that come with the package."""
    num_images: int
    """Images in it."""
    init: str
    """What the weights started from; empty: random numbers."""
    steps: int
    """Optimizer steps taken."""
    total_steps: int
    """Optimizer steps of the whole run."""
    batch_size: int
    """Images of a step."""
    metrics: Mapping[str, float | int] = field(default_factory=dict)
    """The newest line of the run's metrics, with its `step`."""

    def __post_init__(self) -> None:
        for name in ("num_images", "steps", "total_steps", "batch_size"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 0:
                raise ValueError(f"{name} must be a whole number, got {value!r}")
        if not isinstance(self.data, str) or not isinstance(self.init, str):
            raise ValueError(f"data and init must be texts, got {self.data!r} and {self.init!r}")
        if not isinstance(self.metrics, Mapping):
            raise ValueError(f"metrics must be a table, got {self.metrics!r}")

    @property
    def epochs(self) -> float:
        """Passes over the data."""
        return self.steps * self.batch_size / max(1, self.num_images)


def public_name(source: str) -> str:
    """The name of a local file or folder without its path; any other name as it is."""
    if not source:
        return source
    path = Path(at_home(source))
    return path.resolve().name if path.exists() else source
