"""Pictures in order, cropped for a model: what embedding and reconstruction read, as opposed to
training's random views.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import UInt8
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from stellar.data.crops import centre_crop
from stellar.data.folder import ImageSource
from stellar.data.images import UnreadableImage
from stellar.data.loader import WORKER_TIMEOUT, batches_of, prepare_worker

PREPROCESSING = "largest centred square, resized (bicubic, antialiased) to image_size, RGB uint8"
"""What is done to a picture before it is encoded."""


@dataclass(frozen=True)
class PictureBatch:
    """Pictures that could be read, with their places in the source, and name and reason of the
    others.
    """

    indices: tuple[int, ...]
    images: UInt8[Tensor, "b 3 h w"]
    unreadable: tuple[tuple[str, str], ...]


class _Pictures(Dataset[tuple[int, Tensor | str]]):
    """Index and picture, or index and the reason why there is none."""

    def __init__(self, source: ImageSource, size: int) -> None:
        self.source, self.size = source, size

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> tuple[int, Tensor | str]:
        try:
            return index, centre_crop(self.source.read(index), self.size)
        except UnreadableImage as error:
            return index, error.reason


def picture_batches(
    source: ImageSource,
    indices: Sequence[int],
    size: int,
    batch_size: int,
    num_workers: int = 0,
) -> Iterator[PictureBatch]:
    """The pictures at `indices`, in order, `size` x `size` pixels each."""

    def collate(items: list[tuple[int, Tensor | str]]) -> PictureBatch:
        images = [(index, item) for index, item in items if isinstance(item, Tensor)]
        return PictureBatch(
            indices=tuple(index for index, _ in images),
            images=torch.stack([image for _, image in images])
            if images
            else torch.empty(0, 3, size, size, dtype=torch.uint8),
            unreadable=tuple(
                (source.name(index), item) for index, item in items if isinstance(item, str)
            ),
        )

    loader = DataLoader(
        _Pictures(source, size),
        batch_size=batch_size,
        sampler=indices,
        collate_fn=collate,
        num_workers=num_workers,
        worker_init_fn=prepare_worker,
        timeout=WORKER_TIMEOUT if num_workers else 0,
        generator=torch.Generator(),
    )
    yield from batches_of(loader)
