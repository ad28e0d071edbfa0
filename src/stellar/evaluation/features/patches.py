"""What a model says of every patch of pictures with masks, on the disk: U, S and L, and cls; and
beside them the share of each class in each patch.

    H_pc = pixels of class c in patch p / pixels in patch p

Pixels that are ignored belong to no class, so that rows of H sum to 1 at most. Masks keep their
resolution, as the whole picture is what the model sees.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Float32, Int64, UInt8
from torch import Tensor

from stellar.data.labelled import MaskedSource
from stellar.evaluation.features.cache import Rows, Unreadable, write_rows
from stellar.model import Factors, Stellar

AT_ONCE = 1 << 24
"""Numbers about the pixels of some pictures that are in memory together: 64 MiB in fp32."""


@dataclass(frozen=True)
class PatchBatch:
    """b pictures in fp32; K = 0 where a model has no tokens."""

    cls: Float32[Tensor, "b D"]
    dense: Float32[Tensor, "b P D"]
    sparse: Float32[Tensor, "b K D"]
    spatial: Float32[Tensor, "b P K"]
    shares: Float32[Tensor, "b P c"]
    """H."""


@dataclass(frozen=True)
class Patches:
    """N pictures as files in `folder`: cls, U, S, L and shares, and their places in the source."""

    folder: Path
    grid: tuple[int, int]
    """Height and width in patches."""
    unreadable: Unreadable

    def __len__(self) -> int:
        return len(self.places)

    @property
    def num_classes(self) -> int:
        """Classes of which the shares are."""
        return self._files[-1].shape[2]

    @cached_property
    def places(self) -> Int64[np.ndarray, " N"]:
        """Of the pictures in their source."""
        return np.load(self.folder / "places.npy")

    def read(self, rows: Sequence[int], device: torch.device) -> PatchBatch:
        """These of the N pictures."""
        return PatchBatch(
            *(torch.from_numpy(file[rows]).to(device, torch.float32) for file in self._files)
        )

    @cached_property
    def _files(self) -> list[np.ndarray]:
        return [
            np.load(self.folder / f"{name}.npy", mmap_mode="r")
            for name in ("cls", "U", "S", "L", "H")
        ]


def extract_patches(
    model: Stellar,
    source: MaskedSource,
    num_classes: int,
    folder: Path,
    batch_size: int = 64,
    num_workers: int = 0,
    progress: Callable[[int, int], object] = lambda _done, _total: None,
) -> Patches:
    """Encode every picture, squashed to the model's image size; for pictures that cannot be read,
    `progress` and errors, see `write_rows`. Raises UserError for a mask that cannot be read.
    """
    side = model.config.image_size // model.config.patch_size

    def rows_of(factors: Factors, places: Sequence[int]) -> Rows:
        masks = [source.masks(place).classes for place in places]
        shares = [class_shares(mask, (side, side), num_classes) for mask in masks]
        return Rows(
            halved={
                "cls": factors.cls,
                "U": factors.dense,
                "S": factors.sparse,
                "L": factors.spatial,
                "H": torch.stack(shares),
            },
            exact={"places": np.array(places, np.int64)},
        )

    unreadable = write_rows(
        model, source, "squash", folder, rows_of, batch_size, num_workers, progress
    )
    return Patches(folder, (side, side), unreadable)


def class_shares(
    classes: UInt8[Tensor, "h w"], grid: tuple[int, int], num_classes: int
) -> Float[Tensor, "P {num_classes}"]:
    """H of one mask; a pixel belongs to the patch in which its centre lies."""
    row, column = (
        (2 * torch.arange(length) + 1) * count // (2 * length)
        for length, count in zip(classes.shape, grid, strict=True)
    )
    cell = (row[:, None] * grid[1] + column) * 256 + classes
    counts = torch.bincount(cell.flatten(), minlength=grid[0] * grid[1] * 256).view(-1, 256)
    return counts[:, :num_classes] / counts.sum(dim=1, keepdim=True).clamp_min(1)


def stacked_masks(
    source: MaskedSource, places: Sequence[int], per_pixel: int
) -> Iterator[tuple[list[int], UInt8[Tensor, "n h w"]]]:
    """The classes of the pixels of these pictures, of n pictures of one size at a time, so few that
    `per_pixel` numbers for each of their pixels are AT_ONCE or less; and which of `places` they
    are of.
    """
    of_size = defaultdict[torch.Size, list[int]](list)
    masks = [source.masks(place).classes for place in places]
    for index, mask in enumerate(masks):
        of_size[mask.shape].append(index)
    for size, alike in of_size.items():
        most = max(1, AT_ONCE // (per_pixel * size.numel()))
        for start in range(0, len(alike), most):
            some = alike[start : start + most]
            yield some, torch.stack([masks[index] for index in some])
