"""Small JPEG pictures, kept in the index, so that hits can be shown without the files."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path, PurePosixPath

import torch

from stellar.data.folder import unescaped
from stellar.images import Picture, UnreadableImage, read_picture, to_pillow

SIDE = 128
"""Pixels of the longer side at most."""
TIMES = 2
"""Times the longer side that a picture has at least when it is shrunk."""


@dataclass(frozen=True)
class Thumbnail:
    """A picture in small, and how large it is."""

    jpeg: bytes = b""
    """Empty where there is none."""
    width: int | None = None
    height: int | None = None


def thumbnails(folder: Path | None, names: list[str], side: int = SIDE) -> list[Thumbnail]:
    """Of pictures by their paths below a folder, in their order; empty ones for what cannot be
    read, and for all without a folder.
    """
    if folder is None:
        return [Thumbnail()] * len(names)
    with ThreadPoolExecutor(torch.get_num_threads()) as threads:
        return list(threads.map(lambda name: thumbnail_below(folder, name, side), names))


def thumbnail(picture: Picture, side: int = SIDE) -> Thumbnail:
    """Of a picture, as `to_pillow` shows it."""
    image = to_pillow(picture.pixels)
    width, height = picture.full_size or image.size
    image.thumbnail((side, side))
    buffer = BytesIO()
    image.save(buffer, format="JPEG", quality=80)
    return Thumbnail(buffer.getvalue(), width, height)


def thumbnail_below(folder: Path, name: str, side: int = SIDE) -> Thumbnail:
    """Of a picture by its path below a folder; an empty one for what cannot be read."""
    file = picture_below(folder, name)
    try:
        return (
            Thumbnail() if file is None else thumbnail(read_picture(file, least=TIMES * side), side)
        )
    except (UnreadableImage, OSError):
        return Thumbnail()


def picture_below(folder: Path, name: str) -> Path | None:
    """The file of a picture by its path below a folder, as an embedding has it, or None."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts:  # an embedding may come from somebody else
        return None
    try:
        files = folder / path, folder / unescaped(name)
        return next((file for file in files if file.exists()), None)
    except OSError:
        return None
