"""What a model says of each labelled picture, on the disk: cls, the mean of S and the mean of U.

Every probe reads them from there; nothing is in memory until a probe asks for one feature.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float16, Int64
from torch import Tensor

from stellar.data.labelled import LabelledImages
from stellar.errors import UserError
from stellar.evaluation.cache import Unreadable, write_rows
from stellar.images import preprocessing
from stellar.model import Backbone, Factors, Stellar

NAMES = ("cls", "S", "U", "S+cls", "U+cls")
"""Of all features; those with S are missing where a model has no sparse tokens."""
LABELS = "labels"


@dataclass(frozen=True)
class Features:
    """Features of N pictures: a file NAME.npy each in `folder` (N D), beside them labels.npy.

    U and S stand for their means over patches and tokens; A+B are both, side by side.
    """

    folder: Path
    names: tuple[str, ...]
    unreadable: Unreadable
    preparation: str
    """What was done to the pictures before they were encoded."""

    @cached_property
    def labels(self) -> Int64[Tensor, " N"] | Bool[Tensor, "N c"]:
        """The class of each picture, or whether it has each class."""
        return torch.from_numpy(np.load(self._file(LABELS)))

    def tensor(self, name: str) -> Float16[Tensor, "N d"]:
        """One of `names`, in half precision; what is a file of its own stays on the disk until it
        is read. Raises UserError for another name.
        """
        if name not in self.names:
            raise UserError(f"feature must be one of {', '.join(self.names)}, got {name}")
        parts = [np.load(self._file(part), mmap_mode="c") for part in name.split("+")]
        return torch.from_numpy(parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1))

    def _file(self, name: str) -> Path:
        return self.folder / f"{name}.npy"


def extract(
    model: Stellar | Backbone,
    images: LabelledImages,
    folder: Path,
    batch_size: int = 64,
    num_workers: int = 0,
    progress: Callable[[int, int], object] = lambda _done, _total: None,
) -> Features:
    """Encode every picture's centred square, and write its features into `folder`; for pictures
    that cannot be read, `progress` and errors, see `write_rows`.
    """

    def rows_of(factors: Factors, indices: Sequence[int]) -> dict[str, Tensor | np.ndarray]:
        rows = {"cls": factors.cls, "U": factors.dense.float().mean(dim=1)}
        if factors.sparse.shape[1]:
            rows["S"] = factors.sparse.float().mean(dim=1)
        return rows | {LABELS: images.labels[list(indices)]}

    unreadable = write_rows(
        model, images, "crop", folder, rows_of, batch_size, num_workers, progress
    )
    names = tuple(name for name in NAMES if model.config.num_sparse_tokens or "S" not in name)
    return Features(folder, names, unreadable, preprocessing("crop", model.config))
