"""Small JPEG pictures, kept in the index, so that hits can be shown without the files."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO

import torch

from stellar.images import Picture, UnreadableImage, to_pillow
from stellar.searching.originals import Originals

SIDE, LARGE = 128, 512
"""Pixels of the longer side at most, in the index and on a page of hits."""
TIMES = 2
"""Times the longer side that a picture has at least when it is shrunk."""


@dataclass(frozen=True)
class Thumbnail:
    """A picture in small, and how large it is."""

    jpeg: bytes = b""
    """Empty where there is none."""
    width: int | None = None
    height: int | None = None


def thumbnails(originals: Originals | None, names: list[str], side: int = SIDE) -> list[Thumbnail]:
    """Of pictures by their names, in their order; empty ones for what cannot be read, and for all
    where there are no originals.
    """
    if originals is None:
        return [Thumbnail()] * len(names)
    with ThreadPoolExecutor(torch.get_num_threads()) as threads:
        return list(threads.map(lambda name: thumbnail_of(originals, name, side), names))


def thumbnail(picture: Picture, side: int = SIDE) -> Thumbnail:
    """Of a picture, as `to_pillow` shows it."""
    image = to_pillow(picture.pixels)
    width, height = picture.full_size or image.size
    image.thumbnail((side, side))
    buffer = BytesIO()
    image.save(buffer, format="JPEG", quality=80)
    return Thumbnail(buffer.getvalue(), width, height)


def thumbnail_of(originals: Originals, name: str, side: int = SIDE) -> Thumbnail:
    """Of a picture by its name; an empty one for what cannot be read."""
    try:
        picture = originals.read(name, least=TIMES * side)
        return Thumbnail() if picture is None else thumbnail(picture, side)
    except (UnreadableImage, OSError):
        return Thumbnail()
