"""Pictures in order, at sizes for a model: what embedding and reconstruction read, as opposed to
training's random views.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from jaxtyping import Float32, UInt8
from torch import Tensor
from torch.utils.data import Dataset

from stellar.config import Fit, ModelConfig
from stellar.data.folder import ImageSource
from stellar.data.loader import loaded
from stellar.images import InputError, fitted, one_batch


@dataclass(frozen=True)
class PictureBatch:
    """Pictures that could be read, with their places in the source, and name and reason of the
    others.
    """

    first: int
    """Place of the first one, whether it could be read or not."""
    indices: tuple[int, ...]
    images: UInt8[Tensor, "b C h w"] | Float32[Tensor, "b C h w"]
    """No channels and no pixels either when none could be read."""
    unreadable: tuple[tuple[str, str], ...]

    def __len__(self) -> int:
        return len(self.indices) + len(self.unreadable)

    def share_memory(self) -> "PictureBatch":
        """The batch in memory that other processes read."""
        return replace(self, images=self.images.share_memory_())

    def pin_memory(self) -> "PictureBatch":
        """The batch in page-locked memory; DataLoader calls this."""
        return replace(self, images=self.images.pin_memory())


class _Pictures(Dataset[tuple[int, Tensor | str]]):
    """Index and picture, or index and the reason why there is none."""

    def __init__(self, source: ImageSource, fit: Fit, config: ModelConfig) -> None:
        self.source, self.config = source, config
        self.fit: Fit = fit

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> tuple[int, Tensor | str]:
        try:
            return index, fitted(self.source.read(index), self.fit, self.config)
        except InputError as error:
            return index, error.reason


def picture_batches(
    source: ImageSource,
    indices: Sequence[int],
    fit: Fit,
    config: ModelConfig,
    batch_size: int,
    num_workers: int = 0,
) -> Iterator[PictureBatch]:
    """The pictures at `indices`, in order, fitted to a model; where a fit leaves them different
    sizes, `batch_size` must be 1.
    """
    starts = range(0, len(indices), batch_size)
    batches = (list(indices[start : start + batch_size]) for start in starts)
    return pictures_at(source, batches, fit, config, num_workers)


def pictures_at(
    source: ImageSource,
    batches: Iterable[list[int]],
    fit: Fit,
    config: ModelConfig,
    num_workers: int = 0,
    device: torch.device | str = "cpu",
) -> Iterator[PictureBatch]:
    """The pictures of each batch of places, in order, which are asked for a few batches ahead; all
    by the same workers. Memory is pinned when `device` is a GPU.
    """
    pictures = _Pictures(source, fit, config)
    yield from loaded(pictures, batches, partial(_collated, source), num_workers, device)


def _collated(source: ImageSource, items: Sequence[tuple[int, Tensor | str]]) -> PictureBatch:
    """What `_Pictures` gave, as a batch. Workers that are spawned are sent this function."""
    images = [(index, item) for index, item in items if isinstance(item, Tensor)]
    return PictureBatch(
        first=items[0][0],
        indices=tuple(index for index, _ in images),
        images=one_batch([image for _, image in images])
        if images
        else torch.empty(0, 0, 0, 0, dtype=torch.uint8),
        unreadable=tuple(
            (source.name(index), item) for index, item in items if isinstance(item, str)
        ),
    )
