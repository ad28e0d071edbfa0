"""Pictures in order, at sizes for a model: what embedding and reconstruction read, as opposed to
training's random views.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float32, UInt8
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from stellar.config import Fit, ModelConfig
from stellar.data.folder import ImageSource
from stellar.data.loader import WORKER_TIMEOUT, batches_of, prepare_worker
from stellar.images import InputError, fitted, one_batch


@dataclass(frozen=True)
class PictureBatch:
    """Pictures that could be read, with their places in the source, and name and reason of the
    others.
    """

    indices: tuple[int, ...]
    images: UInt8[Tensor, "b C h w"] | Float32[Tensor, "b C h w"]
    """No channels and no pixels either when none could be read."""
    unreadable: tuple[tuple[str, str], ...]


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

    def collate(items: list[tuple[int, Tensor | str]]) -> PictureBatch:
        images = [(index, item) for index, item in items if isinstance(item, Tensor)]
        return PictureBatch(
            indices=tuple(index for index, _ in images),
            images=one_batch([image for _, image in images])
            if images
            else torch.empty(0, 0, 0, 0, dtype=torch.uint8),
            unreadable=tuple(
                (source.name(index), item) for index, item in items if isinstance(item, str)
            ),
        )

    loader = DataLoader(
        _Pictures(source, fit, config),
        batch_size=batch_size,
        sampler=indices,
        collate_fn=collate,
        num_workers=num_workers,
        worker_init_fn=prepare_worker,
        timeout=WORKER_TIMEOUT if num_workers else 0,
        generator=torch.Generator(),
    )
    yield from batches_of(loader)
