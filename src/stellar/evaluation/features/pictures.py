"""What a model says of each labelled picture, on the disk: cls, the mean of S and the mean of U;
and, where an attentive probe asks, all vectors of S and of U.

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
from stellar.evaluation.features.cache import Rows, Unreadable, write_rows
from stellar.model import Factors, Stellar

PARTS = {
    "cls": ("cls",),
    "S": ("S",),
    "U": ("U",),
    "S+cls": ("S", "cls"),
    "U+cls": ("U", "cls"),
}
"""What stands side by side in each feature; those with S are missing where a model has none."""
NAMES = tuple(PARTS)
SETS = {"U": "all_U", "S": "all_S"}
"""Files of all vectors of a picture, by what they are."""
LABELS = "labels"


@dataclass(frozen=True)
class Features:
    """Features of N pictures: a file NAME.npy each in `folder` (N D), beside them labels.npy.

    U and S stand for their means over patches and tokens; A+B are both, side by side.
    """

    folder: Path
    names: tuple[str, ...]
    unreadable: Unreadable
    sets: tuple[str, ...] = ()
    """Of which of U and S all vectors were kept: a file all_U.npy (N P D) or all_S.npy (N K D)."""

    @cached_property
    def labels(self) -> Int64[Tensor, " N"] | Bool[Tensor, "N c"]:
        """The class of each picture, or whether it has each class."""
        return torch.from_numpy(np.load(self._file(LABELS)))

    def tensor(self, name: str) -> Float16[Tensor, "N d"]:
        """One of `names`, in half precision; it stays on the disk until it is read. Raises
        UserError for another name.
        """
        if name not in self.names:
            raise UserError(f"feature must be one of {', '.join(self.names)}, got {name}")
        return torch.from_numpy(np.load(self._file(name), mmap_mode="c"))

    def vectors(self, name: str) -> Float16[Tensor, "N n d"]:
        """All vectors of one of `sets`, in half precision; they stay on the disk until they are
        read.
        """
        return torch.from_numpy(np.load(self._file(SETS[name]), mmap_mode="c"))

    def _file(self, name: str) -> Path:
        return self.folder / f"{name}.npy"


def extract(
    model: Stellar,
    images: LabelledImages,
    folder: Path,
    batch_size: int = 64,
    num_workers: int = 0,
    progress: Callable[[int, int], object] = lambda _done, _total: None,
    keep_sets: bool = False,
) -> Features:
    """Encode every picture's centred square, and write its features into `folder`; for pictures
    that cannot be read, `progress` and errors, see `write_rows`.

    With `keep_sets` all vectors of U and S are written too, 2 (P + K) D bytes a picture.
    """
    has_tokens = model.config.num_sparse_tokens > 0
    names = tuple(name for name in NAMES if has_tokens or "S" not in PARTS[name])
    sets = tuple(name for name in SETS if keep_sets and (has_tokens or name != "S"))

    def rows_of(factors: Factors, indices: Sequence[int]) -> Rows:
        means = {"cls": factors.cls.float(), "U": factors.dense.float().mean(dim=1)}
        if "S" in names:
            means["S"] = factors.sparse.float().mean(dim=1)
        features = {name: torch.cat([means[p] for p in PARTS[name]], 1) for name in names}
        whole = {"U": factors.dense, "S": factors.sparse}
        features |= {SETS[name]: whole[name] for name in sets}
        return Rows(features, {LABELS: images.labels[list(indices)]})

    unreadable = write_rows(
        model, images, "crop", folder, rows_of, batch_size, num_workers, progress
    )
    return Features(folder, names, unreadable, sets)
