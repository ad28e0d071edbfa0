"""Pictures through a model and back: a sheet that shows what it saw, where, and what it drew
again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from stellar.data import Cutouts, ImageFolder, ImageSource
from stellar.data.folder import DataError
from stellar.data.images import read_image
from stellar.data.inference import picture_batches
from stellar.evaluation.reconstruction import psnr
from stellar.model import Stellar
from stellar.pictures import picture_sheet


@dataclass(frozen=True)
class Reconstruction:
    """Some pictures, drawn again."""

    names: list[str]
    psnr: list[float]
    """Of each picture, in dB."""
    sheet: Image.Image
    """Input, segments, token maps and reconstruction, a row a picture."""
    unreadable: list[tuple[str, str]]
    """Name and reason of pictures that could not be read."""


class PictureFiles:
    """Single files as a source of images. Raises DataError for one that does not exist."""

    def __init__(self, paths: Sequence[Path]) -> None:
        for path in paths:
            if not path.is_file():
                raise DataError(
                    f"expected a picture or a folder of pictures, but {path} does not exist"
                )
        self.paths = list(paths)

    def __len__(self) -> int:
        return len(self.paths)

    def read(self, index: int) -> UInt8[Tensor, "3 h w"]:
        return read_image(self.paths[index])

    def name(self, index: int) -> str:
        return self.paths[index].name


def reconstruct(model: Stellar, source: ImageSource, count: int = 8) -> Reconstruction:
    """Encode and draw `count` pictures of the source, evenly spread over it.

    Raises DataError when none of them can be read, MissingTokenizer when the model needs its
    tokenizer.
    """
    indices = torch.linspace(0, len(source) - 1, min(count, len(source))).round().long().tolist()
    (batch,) = picture_batches(source, indices, model.config.image_size, batch_size=count)
    if not batch.indices:
        raise DataError(f"none of the pictures can be read; the first is {batch.unreadable[0][0]} "
                        f"({batch.unreadable[0][1]})")  # fmt: skip
    with torch.inference_mode():
        factors = model.encode(batch.images.to(model.device))
        drawn = model.reconstruct(factors).cpu()
    names = [source.name(index) for index in batch.indices]
    decibels = psnr(batch.images / 255, drawn).tolist()
    titles = [f"{name}   {value:.1f} dB" for name, value in zip(names, decibels, strict=True)]
    sheet = picture_sheet(batch.images, factors, drawn, titles)
    return Reconstruction(names, decibels, sheet, list(batch.unreadable))


def pictures(paths: Sequence[str], image_size: int) -> ImageSource:
    """A folder, some files, or the word `cutouts` for the embedded held-out scenes. Raises
    DataError.
    """
    if list(paths) == ["cutouts"]:
        return Cutouts("heldout", size=image_size)
    if len(paths) == 1 and Path(paths[0]).is_dir():
        return ImageFolder(paths[0])
    return PictureFiles([Path(path) for path in paths])
