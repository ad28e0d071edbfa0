"""The views of an image that a training step sees: one full, V masked, W local crops, all uint8
(pictures of more bits are rounded).

Crops, kept patches and colour changes are drawn from (seed, epoch, index) alone, so a sample is the
same in any batch, worker, process or restart. Where the device is to cut the crops, the pictures
are handed over whole. Colours are changed later, on the device, by the parameters drawn here.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor
from torch.utils.data import Dataset

from stellar.config import ViewConfig
from stellar.data.folder import ImageSource
from stellar.data.unreadable import read_from
from stellar.data.views import photometric
from stellar.data.views.batches import Batch, Draws, UncutBatch, ViewBatch, joined
from stellar.data.views.crops import RATIO, Box, Crop, cut, draw_crop
from stellar.data.views.masking import keep_patches, num_kept
from stellar.images import eight_bits
from stellar.images.sizes import resize


def cut_on(device: torch.device, views: ViewConfig) -> bool:
    """Whether crops are cut on this device rather than by the loader's workers."""
    return views.crops == "device" or (views.crops == "auto" and device.type != "cpu")


@dataclass(frozen=True)
class Sample:
    """One image, and what was drawn for its views."""

    picture: UInt8[Tensor, "C h w"]
    draws: Draws
    """A batch of this image alone."""


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
        samples = map(self.sample, keys)
        return self._uncut(samples) if self.uncut else self._cut(samples, len(keys))

    def sample(self, key: tuple[int, int]) -> Sample:
        """The image at an index, or the next that can be read, and its views in an epoch.

        The order of the draws is part of what a seed means.
        """
        epoch, index = key
        rng = np.random.default_rng([self.seed, epoch, index])
        found = read_from(self.source, index)
        image, views = eight_bits(found.pixels), self.views
        if self.uncut:
            image = shrunk(image, shortest_side(self.image_size, views))
        height, width = image.shape[1:]
        lies = (views.flip_probability, views.vertical_flip_probability, views.turn_probability)
        large = (height, width, views.global_scale, *lies)
        small = (height, width, views.local_scale, *lies)
        kept = num_kept(math.prod(self.grid), views.masking_ratio)
        keep = torch.empty(1, views.num_masked, kept, dtype=torch.int64)
        masked_colour = torch.empty(1, views.num_masked, photometric.NUM_PARAMS)
        local_colour = torch.empty(1, views.num_local, photometric.NUM_PARAMS)
        crops = [draw_crop(rng, *large)]
        for view in range(views.num_masked):
            own = draw_crop(rng, *large)
            crops.append(crops[0] if views.share_crop and view == 0 else own)
            keep[0, view] = keep_patches(rng, self.grid, views)
            masked_colour[0, view] = photometric.draw(rng, views)
        for view in range(views.num_local):
            crops.append(draw_crop(rng, *small))
            local_colour[0, view] = photometric.draw(rng, views)
        draws = Draws(
            crops=torch.tensor([crops]),
            keep=keep,
            masked_colour=masked_colour,
            local_colour=local_colour,
            index=torch.tensor([found.index]),
            skipped=found.skipped,
        )
        return Sample(image, draws)

    def _cut(self, samples: Iterator[Sample], num_images: int) -> ViewBatch:
        """Every view is written to its place as soon as its picture is read, so that one picture
        after the other is in memory.
        """
        views, channels = self.views, self.source.channels
        image, small = ((channels, size, size) for size in (self.image_size, views.local_size))
        full = torch.empty(num_images, *image, dtype=torch.uint8)
        masked = torch.empty(num_images, views.num_masked, *image, dtype=torch.uint8)
        local = torch.empty(num_images, views.num_local, *small, dtype=torch.uint8)
        draws = []
        for row, sample in enumerate(samples):
            places = (full[row], *masked[row], *local[row])
            for place, crop in zip(places, sample.draws.crops[0].tolist(), strict=True):
                place[:] = cut(sample.picture, crop, place.shape[1], views.antialias)
            draws.append(sample.draws)
        return ViewBatch(**vars(joined(draws)), full=full, masked=masked, local=local)

    def _uncut(self, samples: Iterator[Sample]) -> UncutBatch:
        """Of every picture the part that some crop shows."""
        draws, parts, shown = [], [], []
        for sample in samples:
            top, left, height, width = part = around(sample.draws.crops[0].tolist())
            draws.append(sample.draws)
            parts.append(part)
            pixels = sample.picture[:, top : top + height, left : left + width]
            shown.append(pixels.permute(1, 2, 0))
        pixels = torch.empty(sum(part.numel() for part in shown), dtype=torch.uint8)
        places = pixels.split([part.numel() for part in shown])
        for place, part in zip(places, shown, strict=True):
            place.view(part.shape).copy_(part)
        return UncutBatch(
            **vars(joined(draws)),
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
    """The least length of a picture's shorter side at which not even the smallest crop of an
    allowed ratio is magnified.
    """
    smallest = ((image_size, views.global_scale[0]), (views.local_size, views.local_scale[0]))
    return max(math.ceil(size / math.sqrt(share * RATIO[0])) for size, share in smallest)
