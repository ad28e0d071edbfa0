"""The views of an image that a training step sees: one full, V masked, W local crops, all uint8
(pictures of more bits are rounded).

Crops, kept patches and colour changes are drawn from (seed, epoch, index) alone, so a sample is the
same in any batch, worker, process or restart. Colours are changed later, on the device, by the
parameters drawn here.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from jaxtyping import Float32, Int64, UInt8
from torch import Tensor
from torch.utils.data import Dataset

from stellar.config import ViewConfig
from stellar.data import photometric
from stellar.data.crops import random_resized_crop
from stellar.data.folder import DataError, ImageSource
from stellar.data.masking import keep_patches, num_kept
from stellar.images import UnreadableImage, eight_bits

MAX_TRIES = 100
"""Unreadable images in a row after which a sample is given up."""


@dataclass(frozen=True)
class ViewBatch:
    """The views of B images, before their colours are changed."""

    full: UInt8[Tensor, "b C h w"]
    masked: UInt8[Tensor, "b masked C h w"]
    keep: Int64[Tensor, "b masked kept"]
    local: UInt8[Tensor, "b crops C small small"]
    masked_colour: Float32[Tensor, "b masked params"]
    local_colour: Float32[Tensor, "b crops params"]
    index: Int64[Tensor, " b"]
    skipped: tuple[tuple[str, str], ...]

    def to(self, device: torch.device | str) -> "ViewBatch":
        """The batch on a device; from pinned memory the copy runs beside other work."""
        return self._map(lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> "ViewBatch":
        """The batch in page-locked memory; DataLoader calls this."""
        return self._map(Tensor.pin_memory)

    def _map(self, change: Callable[[Tensor], Tensor]) -> "ViewBatch":
        names = [field.name for field in fields(self) if field.name != "skipped"]
        return replace(self, **{name: change(getattr(self, name)) for name in names})


class MultiView(Dataset[ViewBatch]):
    """Views of images, addressed by (epoch, index): an image has other views in each epoch."""

    def __init__(
        self, source: ImageSource, image_size: int, patch_size: int, views: ViewConfig, seed: int
    ) -> None:
        self.source, self.image_size, self.views, self.seed = source, image_size, views, seed
        self.grid = (image_size // patch_size, image_size // patch_size)

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, key: tuple[int, int]) -> ViewBatch:
        """A batch of one image."""
        return self.__getitems__([key])

    def __getitems__(self, keys: list[tuple[int, int]]) -> ViewBatch:
        """A batch of images; DataLoader calls this. Every view is written to its place at once."""
        batch = self._empty(len(keys))
        skipped: dict[tuple[str, str], None] = {}
        for row, key in enumerate(keys):
            skipped.update(dict.fromkeys(self._fill(batch, row, key)))
        return replace(batch, skipped=tuple(skipped))

    def _empty(self, num_images: int) -> ViewBatch:
        views = self.views
        kept = num_kept(self.grid[0] * self.grid[1], views.masking_ratio)
        channels = self.source.channels
        image = (channels, self.image_size, self.image_size)
        small = (channels, views.local_size, views.local_size)
        masked, local = (num_images, views.num_masked), (num_images, views.num_local)
        return ViewBatch(
            full=torch.empty(num_images, *image, dtype=torch.uint8),
            masked=torch.empty(*masked, *image, dtype=torch.uint8),
            keep=torch.empty(*masked, kept, dtype=torch.int64),
            local=torch.empty(*local, *small, dtype=torch.uint8),
            masked_colour=torch.empty(*masked, photometric.NUM_PARAMS),
            local_colour=torch.empty(*local, photometric.NUM_PARAMS),
            index=torch.empty(num_images, dtype=torch.int64),
            skipped=(),
        )

    def _fill(
        self, batch: ViewBatch, row: int, key: tuple[int, int]
    ) -> tuple[tuple[str, str], ...]:
        """Write one image's views into a row of the batch; name and reason of images skipped."""
        epoch, index = key
        rng = np.random.default_rng([self.seed, epoch, index])
        image, batch.index[row], skipped = self._read(index)
        views = self.views
        batch.full[row] = self._crop(rng, image, self.image_size, views.global_scale)
        for view in range(views.num_masked):
            batch.masked[row, view] = self._crop(rng, image, self.image_size, views.global_scale)
            batch.keep[row, view] = keep_patches(rng, self.grid, views)
            batch.masked_colour[row, view] = photometric.draw(rng, views)
        for view in range(views.num_local):
            batch.local[row, view] = self._crop(rng, image, views.local_size, views.local_scale)
            batch.local_colour[row, view] = photometric.draw(rng, views)
        return skipped

    def _read(self, index: int) -> tuple[Tensor, int, tuple[tuple[str, str], ...]]:
        """The image at `index`, or the next that can be read; its index; those that could not."""
        skipped = []
        for number in range(index, index + min(MAX_TRIES, len(self))):
            number %= len(self)
            try:
                return eight_bits(self.source.read(number)), number, tuple(skipped)
            except UnreadableImage as error:
                skipped.append((self.source.name(number), error.reason))
        raise DataError(
            f"none of {len(skipped)} images in a row could be read, from {skipped[0][0]} "
            f"({skipped[0][1]}) to {skipped[-1][0]} ({skipped[-1][1]})"
        )

    def _crop(
        self, rng: np.random.Generator, image: Tensor, size: int, scale: tuple[float, float]
    ) -> Tensor:
        views = self.views
        return random_resized_crop(rng, image, size, scale, views.flip_probability, views.antialias)
