"""Mask files: a whole number for each pixel of a picture, palette indices rather than colours.

A picture is turned as its EXIF metadata says, and its mask with it: annotations are of the pixels
as they are stored. Where its size shows that a mask was drawn on the turned picture, it stays.
"""

from collections.abc import Callable
from io import BufferedReader, BytesIO
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int64, Integer, UInt8
from PIL import Image, UnidentifiedImageError
from PIL.TiffImagePlugin import IMAGELENGTH, IMAGEWIDTH, TiffImageFile
from torch import Tensor

from stellar.images.files import FORMATS, check_size, require_regular
from stellar.images.orientation import TAG, UPRIGHT, orientation_of, stored_array, turned_array
from stellar.images.picture import UnreadableImage
from stellar.images.pillow import DECODING_ERRORS, unreadable
from stellar.images.quiet import UNWARNED
from stellar.images.tiff import MAGIC, is_swapped, read_band

MASK_EXTENSIONS = (".png", ".tif", ".tiff")
"""Names, in any case, that count as masks: formats that keep every number."""
_NUMBERS = ("1", "L", "P", "I", "I;16", "I;16B", "I;16L")
"""Pillow's modes of one whole number a pixel."""
_ON_ITS_SIDE = range(5, 9)
"""EXIF orientations that exchange width and height."""


def read_mask(path: Path, picture: Path) -> UInt8[Tensor, "h w"]:
    """The numbers in a mask file, turned as its picture is.

    Raises UnreadableImage for what is no mask of whole numbers up to 255, or not of the picture's
    size.
    """
    values = _read(path, picture, _numbers)
    least, largest = int(values.min()), int(values.max())
    if least < 0 or largest > 255:
        held = "; they say the class of a pixel, not the number of its object" * (largest > 255)
        raise UnreadableImage(path, f"it holds {least} to {largest}, but masks hold 0 to 255{held}")
    return torch.from_numpy(values.astype(np.uint8))


def read_coloured_mask(path: Path, picture: Path) -> Int64[Tensor, "h w"]:
    """The numbers R + 256 G + 65536 B of the colours in a mask file, turned as its picture is.

    Raises UnreadableImage for what is no mask in RGB, or not of the picture's size.
    """
    values = _read(path, picture, _colours)
    return torch.from_numpy(values.astype(np.int64) @ np.array([1, 1 << 8, 1 << 16]))


def decode_mask(name: str, data: bytes, picture: bytes) -> UInt8[Tensor, "h w"]:
    """The numbers in the bytes of a grey PNG file, as they are stored; `picture` is the file that
    it is the mask of.

    Raises UnreadableImage, of this name, for anything else, or another size than the picture's.
    """
    try:
        with (
            UNWARNED,
            Image.open(BytesIO(data), formats=["PNG"]) as image,
            Image.open(BytesIO(picture), formats=FORMATS) as shown,
        ):
            if image.mode != "L":
                raise ValueError(f"a mask of 8 bits was expected, but this is {image.mode}")
            if image.size != shown.size:
                sizes = [f"{each.width} x {each.height}" for each in (image, shown)]
                raise ValueError(f"its mask is {sizes[0]}, but its picture is {sizes[1]}")
            return torch.from_numpy(np.array(image))
    except DECODING_ERRORS as error:
        raise unreadable(name, error) from error


def as_shown(
    values: Integer[np.ndarray, "h w ..."], picture: Path
) -> Integer[np.ndarray, "h2 w2 ..."]:
    """Numbers of the pixels of a picture, turned as it is.

    Raises UnreadableImage, of the picture, where they are of another size.
    """
    stored = _stored(picture)
    try:
        orientation = _orientation_of_mask(values.shape[1], values.shape[0], picture, stored)
    except ValueError as error:
        raise UnreadableImage(picture, f"its annotation does not fit: {error}") from error
    return turned_array(values, orientation)


def _read(
    path: Path, picture: Path, stored_numbers: Callable[[BufferedReader], np.ndarray]
) -> np.ndarray:
    """The numbers in a file, which lie in it as `stored_numbers` finds them, turned as its picture
    is.
    """
    stored = _stored(picture)
    try:
        require_regular(path)
        # Of a file by its path, Pillow mixes up the pixels of a TIFF that lies on its side.
        with UNWARNED, path.open("rb") as file:
            values = stored_numbers(file)
        orientation = _orientation_of_mask(values.shape[1], values.shape[0], picture, stored)
        return turned_array(values, orientation)
    except UnidentifiedImageError as error:
        raise UnreadableImage(path, "it is no PNG or TIFF file, or a damaged one") from error
    except DECODING_ERRORS as error:
        raise unreadable(path, error) from error


def _numbers(file: BufferedReader) -> np.ndarray:
    """One whole number a pixel; of a TIFF also in kinds of numbers that Pillow does not know."""
    if _needs_tifffile(file):
        values = read_band(file, check_size)
    else:
        values = _by_pillow(
            file, _NUMBERS,
            "a mask holds one number for each pixel, its class, but this is {}; "
            "save it as grey or with a palette",
        )  # fmt: skip
    if values.dtype.kind == "c":
        raise ValueError(
            "its numbers are complex, but a mask holds whole numbers, those of classes"
        )
    if values.dtype.kind == "f" and (broken := values[~(values % 1 == 0)]).size:
        raise ValueError(
            f"it holds {broken[0]:g}, but a mask holds whole numbers, those of classes"
        )
    return values


def _needs_tifffile(file: BufferedReader) -> bool:
    """Whether it is a TIFF whose numbers Pillow does not read, or not as they are."""
    try:
        if file.read(4) not in MAGIC:
            return False
        file.seek(0)
        with Image.open(file, formats=("TIFF",)) as image:
            assert isinstance(image, TiffImageFile)
            return image.mode == "F" or is_swapped(image)
    except UnidentifiedImageError:
        return True
    finally:
        file.seek(0)


def _colours(file: BufferedReader) -> np.ndarray:
    return _by_pillow(
        file, ("RGB",), "a mask in colours holds 8 bits of R, G and B, but this is {}"
    )


def _by_pillow(file: BufferedReader, modes: tuple[str, ...], otherwise: str) -> np.ndarray:
    """The numbers in a file of one of Pillow's modes; `otherwise` says what another one is."""
    with Image.open(file, formats=FORMATS) as image:
        if image.mode not in modes:
            raise ValueError(otherwise.format(image.mode))
        own = image.tag_v2.get(TAG, UPRIGHT) if isinstance(image, TiffImageFile) else UPRIGHT
        return stored_array(np.array(image), own)  # a TIFF is turned when it is loaded


def _orientation_of_mask(
    width: int, height: int, picture: Path, stored: tuple[int, int, int]
) -> int:
    """In which a mask of this size is, beside a picture that is `stored` so. Raises ValueError
    where their sizes differ.
    """
    *size, orientation = stored
    if size == [width, height]:
        return orientation
    if size == [height, width] and orientation in _ON_ITS_SIDE:
        return UPRIGHT
    raise ValueError(
        f"it is {width} x {height}, but its picture {picture} is {size[0]} x {size[1]}; "
        "they must be of one size"
    )


def _stored(picture: Path) -> tuple[int, int, int]:
    """Width and height of a picture as it is stored, and its EXIF orientation (1: upright)."""
    try:
        require_regular(picture)
        if picture.suffix.lower() == ".npy":
            height, width = np.load(picture, mmap_mode="r", allow_pickle=False).shape[:2]
            return width, height, UPRIGHT
        with UNWARNED, Image.open(picture, formats=FORMATS) as file:
            if isinstance(file, TiffImageFile):  # whose size is that of the turned picture
                turn = file.tag_v2.get(TAG, UPRIGHT)
                return file.tag_v2[IMAGEWIDTH], file.tag_v2[IMAGELENGTH], turn
            return file.width, file.height, orientation_of(file)
    except DECODING_ERRORS as error:
        raise unreadable(picture, error) from error
