"""Pictures through a model and back: a sheet that shows what it saw, where, and what it drew
again.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby

from PIL import Image

from stellar.config import Fit, ModelConfig, check_count
from stellar.data import ImageSource, NamedPictures, open_pictures
from stellar.data.folder import DataError, evenly_spread
from stellar.data.labelled import MaskedSplits, Splits
from stellar.data.picture_batches import PictureBatch, picture_batches
from stellar.evaluation.evaluators.reconstruction import draw_again
from stellar.images import check_fit, one_batch
from stellar.model import Stellar, check_model
from stellar.model.finite import check_finite
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


def reconstruct(
    model: Stellar, pictures: NamedPictures, count: int = 8, fit: Fit = "crop"
) -> Reconstruction:
    """Encode and draw `count` pictures, evenly spread over those that are named: a folder, shards,
    a file or a list of files, `scenes` for held-out embedded ones, or a source of images. Others
    take the place of pictures that cannot be read.

    Pictures of another size than the one before start a sheet of their own, below. Raises DataError
    when none of them can be read, MissingTokenizer when the model needs its tokenizer, UserError
    when what it draws is not finite.
    """
    check_model(model)
    check_count(count, "count")
    check_fit(fit)
    source = open_pictures(pictures, model.config)
    batches = _looked_at(source, count, fit, model.config)
    unreadable = [picture for batch in batches for picture in batch.unreadable]
    read = [batch for batch in batches if batch.indices]
    if not read:
        raise DataError(f"none of the {len(batches)} pictures looked at can be read; the first is "
                        f"{unreadable[0][0]} ({unreadable[0][1]})")  # fmt: skip
    names = [source.name(batch.indices[0]) for batch in read]
    decibels, sheets = [], []
    for _, group in groupby(read, key=lambda batch: batch.images.shape):
        some, sheet = _drawn(model, source, list(group))
        decibels += some
        sheets.append(sheet)
    return Reconstruction(names, decibels, stacked(sheets), unreadable)


def _looked_at(
    source: ImageSource, count: int, fit: Fit, config: ModelConfig
) -> list[PictureBatch]:
    """`count` pictures that can be read, each alone, in order; and those that cannot, in whose
    place others between them are tried: 3 `count` pictures in all at most.
    """
    found: dict[int, PictureBatch] = {}
    for finer in (1, 2, 4):
        left = [index for index in evenly_spread(source, finer * count) if index not in found]
        missing = count - sum(len(batch.indices) for batch in found.values())
        indices = [left[place] for place in evenly_spread(left, missing)]
        batches = picture_batches(source, indices, fit, config, batch_size=1)
        found |= zip(indices, batches, strict=True)
    return [found[index] for index in sorted(found)]


def _drawn(
    model: Stellar, source: ImageSource, pictures: list[PictureBatch]
) -> tuple[list[float], Image.Image]:
    """PSNR and sheet of pictures of one size."""
    images = one_batch([picture.images[0] for picture in pictures])
    factors, drawn, measured = draw_again(model, images)
    names = [source.name(picture.indices[0]) for picture in pictures]
    check_finite("drawing", drawn.float().numpy(), names.__getitem__)
    decibels = measured.tolist()
    titles = [f"{name}   {value:.1f} dB" for name, value in zip(names, decibels, strict=True)]
    return decibels, picture_sheet(images, factors, drawn, titles)


def sheets_of(
    models: Mapping[str, Stellar], data: Splits | MaskedSplits, count: int = 6
) -> list[tuple[str, Image.Image]]:
    """Name and sheet of every model that has maps and draws, on test pictures that are evenly
    spread.
    """
    fit = "crop" if isinstance(data, Splits) else "squash"
    return [
        (name, reconstruct(model, data.test, count, fit).sheet)
        for name, model in models.items()
        if model.can_draw and model.config.num_sparse_tokens
    ]
