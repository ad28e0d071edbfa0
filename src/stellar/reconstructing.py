"""Pictures through a model and back: a sheet that shows what it saw, where, and what it drew
again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from PIL import Image

from stellar.config import Fit, ModelConfig
from stellar.data import EMBEDDED, ImageSource, open_embedded, open_source
from stellar.data.folder import DataError, evenly_spread
from stellar.data.labelled import MaskedSplits, Splits
from stellar.data.picture_batches import PictureBatch, picture_batches
from stellar.data.sources import are_shards
from stellar.evaluation.evaluators.reconstruction import draw_again
from stellar.images import Pixels, one_batch, read_image
from stellar.model import Backbone, Stellar
from stellar.pictures import picture_sheet, stacked


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

    def __init__(self, paths: Sequence[Path], channels: int = 3) -> None:
        for path in paths:
            if not path.is_file():
                raise DataError(
                    f"expected a picture or a folder of pictures, but {path} does not exist"
                )
        self.paths, self.channels = list(paths), channels

    def __len__(self) -> int:
        return len(self.paths)

    def read(self, index: int) -> Pixels:
        return read_image(self.paths[index], self.channels)

    def name(self, index: int) -> str:
        return self.paths[index].name


def reconstruct(
    model: Stellar, source: ImageSource, count: int = 8, fit: Fit = "crop"
) -> Reconstruction:
    """Encode and draw `count` pictures of the source, evenly spread over it.

    Pictures of another size than the one before start a sheet of their own, below. Raises DataError
    when none of them can be read, MissingTokenizer when the model needs its tokenizer.
    """
    indices = evenly_spread(source, count)
    batches = list(picture_batches(source, indices, fit, model.config, batch_size=1))
    unreadable = [picture for batch in batches for picture in batch.unreadable]
    read = [batch for batch in batches if batch.indices]
    if not read:
        raise DataError(f"none of the {len(indices)} pictures looked at can be read; the first is "
                        f"{unreadable[0][0]} ({unreadable[0][1]})")  # fmt: skip
    names = [source.name(batch.indices[0]) for batch in read]
    decibels, sheets = [], []
    for _, group in groupby(read, key=lambda batch: batch.images.shape):
        some, sheet = _drawn(model, source, list(group))
        decibels += some
        sheets.append(sheet)
    return Reconstruction(names, decibels, stacked(sheets), unreadable)


def _drawn(
    model: Stellar, source: ImageSource, pictures: list[PictureBatch]
) -> tuple[list[float], Image.Image]:
    """PSNR and sheet of pictures of one size."""
    images = one_batch([picture.images[0] for picture in pictures])
    factors, drawn, measured = draw_again(model, images)
    decibels = measured.tolist()
    names = [source.name(picture.indices[0]) for picture in pictures]
    titles = [f"{name}   {value:.1f} dB" for name, value in zip(names, decibels, strict=True)]
    return decibels, picture_sheet(images, factors, drawn, titles)


def sheets_of(
    models: Mapping[str, Stellar | Backbone], data: Splits | MaskedSplits, count: int = 6
) -> list[tuple[str, Image.Image]]:
    """Name and sheet of every model that has maps and draws, on test pictures that are evenly
    spread.
    """
    fit = "crop" if isinstance(data, Splits) else "squash"
    return [
        (name, reconstruct(model, data.test, count, fit).sheet)
        for name, model in models.items()
        if isinstance(model, Stellar) and model.can_draw and model.config.num_sparse_tokens
    ]


def pictures(paths: Sequence[str], config: ModelConfig) -> ImageSource:
    """A folder, shards, some files, or the name of one of the embedded data sets for its held-out
    scenes. Raises DataError.
    """
    many = [path for path in paths if path in EMBEDDED or Path(path).is_dir() or are_shards(path)]
    if not many:
        return PictureFiles([Path(path) for path in paths], config.in_chans)
    if len(paths) > 1:
        raise DataError(
            f"expected files of pictures, or one folder, shards or scenes, got {many[0]} among "
            f"{len(paths)} names; name it alone"
        )
    if many[0] in EMBEDDED:
        return open_embedded(many[0], "heldout", config)
    return open_source(many[0], config.in_chans)
