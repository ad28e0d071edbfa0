"""How a model came about: what its model card tells, carried in its `config.json`."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PureWindowsPath

from stellar.storage import at_home

HUB_ID = re.compile(r"[\w-][\w.-]*/[\w.-]+")
"""The name of a hub repository: owner/name."""
LOCAL = ("file://", "local://")
"""Addresses of files on this machine."""


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
    """The last name of a local path, also of a pattern, which is no file itself; an address and the
    name of a model or of embedded data as they are.
    """
    if not source:
        return source
    path = Path(at_home(source))
    if path.exists():
        return path.resolve().name
    is_address = "://" in source and not any(local in source for local in LOCAL)
    # PureWindowsPath takes both kinds of slashes for what they are.
    return source if is_address or HUB_ID.fullmatch(source) else PureWindowsPath(source).name
