"""The views of an image that a training step sees: one full, V masked, W local crops, all uint8
(pictures of more bits are rounded).

Crops, kept patches and colour changes are drawn from (seed, epoch, index) alone, so a sample is the
same in any batch, worker, process or restart. Where the device is to cut the crops, the pictures
are handed over whole. Colours are changed later, on the device, by the parameters drawn here.
"""

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor
from torch.utils.data import Dataset

from stellar.config import ViewConfig
from stellar.data.folder import DataError, ImageSource
from stellar.data.views import photometric
from stellar.data.views.batches import Batch, Draws, UncutBatch, ViewBatch
from stellar.data.views.crops import CROP_NUMBERS, RATIO, Box, Crop, cut, draw_crop
from stellar.data.views.masking import keep_patches, num_kept
from stellar.images import UnreadableImage, eight_bits
from stellar.images.sizes import resize

MAX_TRIES = 100
"""Unreadable images in a row after which a sample is given up."""


def cut_on(device: torch.device, views: ViewConfig) -> bool:
    """Whether crops are cut on this device rather than by the loader's workers."""
    return views.crops == "device" or (views.crops == "auto" and device.type != "cpu")


class MultiView(Dataset[Batch]):
    """Views of images, addressed by (epoch, index): an image has other views in each epoch.

    With `uncut`, batches hold whole pictures, which `batch.to(device)` cuts.
    """

    def __init__(
        self,
        source: ImageSource,
        image_size: int,
        patch_size: int,
        views: ViewConfig,
        seed: int,
        uncut: bool = False,
    ) -> None:
        self.source, self.image_size, self.views, self.seed = source, image_size, views, seed
        self.grid = (image_size // patch_size, image_size // patch_size)
        self.uncut = uncut

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, key: tuple[int, int]) -> Batch:
        """A batch of one image."""
        return self.__getitems__([key])

    def __getitems__(self, keys: list[tuple[int, int]]) -> Batch:
        """A batch of images; DataLoader calls this."""
        draws, skipped = self._empty(len(keys)), dict[tuple[str, str], None]()
        pictures = (self._picture(draws, row, key, skipped) for row, key in enumerate(keys))
        batch = self._whole(draws, pictures) if self.uncut else self._cut(draws, pictures)
        return replace(batch, skipped=tuple(skipped))

    def _empty(self, num_images: int) -> Draws:
        views = self.views
        masked, local = (num_images, views.num_masked), (num_images, views.num_local)
        kept = num_kept(self.grid[0] * self.grid[1], views.masking_ratio)
        num_crops = 1 + views.num_masked + views.num_local
        return Draws(
            crops=torch.empty(num_images, num_crops, CROP_NUMBERS, dtype=torch.int64),
            keep=torch.empty(*masked, kept, dtype=torch.int64),
            masked_colour=torch.empty(*masked, photometric.NUM_PARAMS),
            local_colour=torch.empty(*local, photometric.NUM_PARAMS),
            index=torch.empty(num_images, dtype=torch.int64),
            skipped=(),
        )

    def _picture(
        self, draws: Draws, row: int, key: tuple[int, int], skipped: dict[tuple[str, str], None]
    ) -> UInt8[Tensor, "C h w"]:
        """One image, its draws written to their row; name and reason of images skipped are added.

        The order of the draws is part of what a seed means.
        """
        epoch, index = key
        rng = np.random.default_rng([self.seed, epoch, index])
        image, draws.index[row] = self._read(index, skipped)
        if self.uncut:
            image = shrunk(image, shortest_side(self.image_size, self.views))
        views, (height, width) = self.views, image.shape[1:]
        large = (height, width, views.global_scale, views.flip_probability)
        small = (height, width, views.local_scale, views.flip_probability)
        crops, keep, colours = [draw_crop(rng, *large)], [], []
        for _ in range(views.num_masked):
            crops.append(draw_crop(rng, *large))
            keep.append(keep_patches(rng, self.grid, views))
            colours.append(photometric.draw(rng, views))
        for _ in range(views.num_local):
            crops.append(draw_crop(rng, *small))
            colours.append(photometric.draw(rng, views))
        draws.crops[row] = torch.tensor(crops)
        for rows, drawn in (
            (draws.keep, keep),
            (draws.masked_colour, colours[: views.num_masked]),
            (draws.local_colour, colours[views.num_masked :]),
        ):
            if drawn:
                torch.stack(drawn, out=rows[row])
        return image

    def _read(
        self, index: int, skipped: dict[tuple[str, str], None]
    ) -> tuple[UInt8[Tensor, "C h w"], int]:
        """The image at `index`, or the next that can be read, and its index."""
        missed = []
        for number in range(index, index + min(MAX_TRIES, len(self))):
            number %= len(self)
            try:
                image = eight_bits(self.source.read(number))
            except UnreadableImage as error:
                missed.append((self.source.name(number), error.reason))
            else:
                skipped.update(dict.fromkeys(missed))
                return image, number
        raise DataError(
            f"none of {len(missed)} images in a row could be read, from {missed[0][0]} "
            f"({missed[0][1]}) to {missed[-1][0]} ({missed[-1][1]})"
        )

    def _cut(self, draws: Draws, pictures: Iterator[UInt8[Tensor, "C _h _w"]]) -> ViewBatch:
        """Every view is written to its place as soon as its picture is read."""
        views, num_images, channels = self.views, len(draws.index), self.source.channels
        image, small = ((channels, size, size) for size in (self.image_size, views.local_size))
        full = torch.empty(num_images, *image, dtype=torch.uint8)
        masked = torch.empty(num_images, views.num_masked, *image, dtype=torch.uint8)
        local = torch.empty(num_images, views.num_local, *small, dtype=torch.uint8)
        for row, picture in enumerate(pictures):
            places = (full[row], *masked[row], *local[row])
            for place, crop in zip(places, draws.crops[row].tolist(), strict=True):
                place[:] = cut(picture, crop, place.shape[1], views.antialias)
        return ViewBatch(**vars(draws), full=full, masked=masked, local=local)

    def _whole(self, draws: Draws, pictures: Iterator[UInt8[Tensor, "C _h _w"]]) -> UncutBatch:
        """Of every picture the part that some crop shows."""
        parts, shown = [], []
        for row, picture in enumerate(pictures):
            top, left, height, width = part = around(draws.crops[row].tolist())
            parts.append(part)
            shown.append(picture[:, top : top + height, left : left + width].permute(1, 2, 0))
        pixels = torch.empty(sum(part.numel() for part in shown), dtype=torch.uint8)
        places = pixels.split([part.numel() for part in shown])
        for place, part in zip(places, shown, strict=True):
            place.view(part.shape).copy_(part)
        return UncutBatch(
            **vars(draws),
            pixels=pixels,
            parts=torch.tensor(parts),
            channels=self.source.channels,
            image_size=self.image_size,
            local_size=self.views.local_size,
            antialias=self.views.antialias,
        )


def around(crops: list[Crop]) -> Box:
    """The smallest box around all crops."""
    top, left, bottom, right = (
        min(crop[0] for crop in crops),
        min(crop[1] for crop in crops),
        max(crop[0] + crop[2] for crop in crops),
        max(crop[1] + crop[3] for crop in crops),
    )
    return top, left, bottom - top, right - left


def shrunk(image: UInt8[Tensor, "C h w"], shortest: int) -> UInt8[Tensor, "C _h _w"]:
    """The image with a shorter side of at most so many pixels."""
    height, width = image.shape[1:]
    share = shortest / min(height, width)
    if share >= 1:
        return image
    return resize(image, round(share * height), round(share * width))


def shortest_side(image_size: int, views: ViewConfig) -> int:
    """Of a picture so large that not even the smallest crop is magnified."""
    smallest = ((image_size, views.global_scale[0]), (views.local_size, views.local_scale[0]))
    return max(math.ceil(size / math.sqrt(share * RATIO[0])) for size, share in smallest)
