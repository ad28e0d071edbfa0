"""Batches of views as the loader's workers hand them over: cut already, or with their pictures
whole, to be cut on the device. Either way `batch.to(device)` is the views there.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import TypeVar

import torch
from jaxtyping import Float32, Int64, UInt8
from torch import Tensor

from stellar.data.views.resampling import cut_all

Some = TypeVar("Some", bound="Batch")


@dataclass(frozen=True)
class Draws:
    """What was drawn for B images: a full, V masked and W local views each."""

    crops: Int64[Tensor, "b views numbers"]
    """Of the full view, the masked and the local ones (see `Crop`)."""
    keep: Int64[Tensor, "b masked kept"]
    masked_colour: Float32[Tensor, "b masked params"]
    local_colour: Float32[Tensor, "b local params"]
    index: Int64[Tensor, " b"]
    skipped: tuple[tuple[str, str], ...]
    """Name and reason of images that could not be read."""


def joined(draws: Sequence[Draws]) -> Draws:
    """The draws of all images as those of one batch, which names an image that could not be read
    once.
    """
    tensors = {
        field.name: torch.cat([getattr(some, field.name) for some in draws])
        for field in fields(Draws)
        if field.name != "skipped"
    }
    skipped = dict.fromkeys(image for some in draws for image in some.skipped)
    return Draws(**tensors, skipped=tuple(skipped))


@dataclass(frozen=True)
class Batch(Draws, ABC):
    """Draws, and the pixels that they are about."""

    @abstractmethod
    def to(self, device: torch.device | str) -> "ViewBatch":
        """The views on a device; from pinned memory the copy runs beside other work."""

    def share_memory(self: Some) -> Some:
        """The batch in memory that other processes see; a RuntimeError where there is not enough
        of it.
        """
        return _changed(self, Tensor.share_memory_)

    def pin_memory(self: Some) -> Some:
        """The batch in page-locked memory; DataLoader calls this."""
        return _changed(self, Tensor.pin_memory)


@dataclass(frozen=True)
class ViewBatch(Batch):
    """The views of B images, before their colours are changed."""

    full: UInt8[Tensor, "b C h w"]
    masked: UInt8[Tensor, "b masked C h w"]
    local: UInt8[Tensor, "b local C small small"]

    def to(self, device: torch.device | str) -> "ViewBatch":
        return _changed(self, lambda tensor: tensor.to(device, non_blocking=True))


@dataclass(frozen=True)
class UncutBatch(Batch):
    """B pictures and what to cut out of them."""

    pixels: UInt8[Tensor, " values"]
    """Height x width x channels of one picture after the other: one tensor to share and to pin,
    whatever their sizes.
    """
    parts: Int64[Tensor, "b 4"]
    """The box (see `Box`) of each picture that `pixels` holds; every crop lies in it."""
    channels: int
    image_size: int
    local_size: int
    antialias: bool

    def to(self, device: torch.device | str) -> ViewBatch:
        moved = _changed(self, lambda tensor: tensor.to(device, non_blocking=True))
        crops, large = self.crops.clone(), 1 + self.keep.shape[1]
        crops[:, :, :2] -= self.parts[:, None, :2]
        sizes = [(height, width, self.channels) for height, width in self.parts[:, 2:].tolist()]
        values = moved.pixels.split([math.prod(size) for size in sizes])
        pictures = [some.view(size) for some, size in zip(values, sizes, strict=True)]
        whole = cut_all(pictures, crops[:, :large], self.image_size, self.antialias)
        local = cut_all(pictures, crops[:, large:], self.local_size, self.antialias)
        drawn = {field.name: getattr(moved, field.name) for field in fields(Draws)}
        return ViewBatch(**drawn, full=whole[:, 0], masked=whole[:, 1:], local=local)


def _changed(batch: Some, change: Callable[[Tensor], Tensor]) -> Some:
    """The batch with every tensor changed."""
    values = {field.name: getattr(batch, field.name) for field in fields(batch)}
    tensors = {name: value for name, value in values.items() if isinstance(value, Tensor)}
    return replace(batch, **{name: change(tensor) for name, tensor in tensors.items()})
