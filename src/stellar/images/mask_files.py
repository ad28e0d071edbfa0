"""Mask files: a whole number for each pixel of a picture, palette indices rather than colours.

A picture is turned as its EXIF metadata says, and its mask with it: annotations are of the pixels
as they are stored. Where its size shows that a mask was drawn on the turned picture, it stays.
"""

import warnings
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image
from PIL.TiffImagePlugin import IMAGELENGTH, IMAGEWIDTH, TiffImageFile
from torch import Tensor

from stellar.images.files import FORMATS, require_regular
from stellar.images.orientation import TAG, UPRIGHT, orientation_of, turned_array
from stellar.images.picture import UnreadableImage
from stellar.images.pillow import DECODING_ERRORS, unreadable

MASK_EXTENSIONS = (".png", ".tif", ".tiff")
"""Names, in any case, that count as masks: formats that keep every number."""
_NUMBERS = ("1", "L", "P", "I", "I;16", "I;16B", "I;16L")
"""Pillow's modes of one whole number a pixel."""
_ON_ITS_SIDE = range(5, 9)
"""EXIF orientations that exchange width and height."""


def read_mask(path: Path, picture: Path) -> UInt8[Tensor, "h w"]:
    """The numbers in a mask file, turned as its picture is.

    Raises UnreadableImage for what is no mask of numbers up to 255, or not of the picture's size.
    """
    width, height, orientation = _shown(picture)
    try:
        require_regular(path)
        with warnings.catch_warnings(action="ignore"), Image.open(path, formats=FORMATS) as image:
            if image.mode not in _NUMBERS:
                raise ValueError(
                    f"a mask holds one number for each pixel, its class, but this is {image.mode}; "
                    "save it as grey or with a palette"
                )
            if image.size != (width, height):
                if image.size != (height, width) or orientation not in _ON_ITS_SIDE:
                    raise ValueError(
                        f"it is {image.width} x {image.height}, but its picture {picture} is "
                        f"{width} x {height}; they must be of one size"
                    )
                orientation = UPRIGHT
            values = turned_array(np.array(image), orientation)
    except DECODING_ERRORS as error:
        raise unreadable(path, error) from error
    if values.min() < 0 or values.max() > 255:
        raise UnreadableImage(
            path, f"it holds {values.min()} to {values.max()}, but masks hold 0 to 255"
        )
    return torch.from_numpy(values.astype(np.uint8))


def _shown(picture: Path) -> tuple[int, int, int]:
    """Width and height of a picture as it is stored, and its EXIF orientation (1: upright)."""
    try:
        require_regular(picture)
        if picture.suffix.lower() == ".npy":
            height, width = np.load(picture, mmap_mode="r", allow_pickle=False).shape[:2]
            return width, height, 1
        with warnings.catch_warnings(action="ignore"), Image.open(picture, formats=FORMATS) as file:
            if isinstance(file, TiffImageFile):  # whose size is that of the turned picture
                turn = file.tag_v2.get(TAG, UPRIGHT)
                return file.tag_v2[IMAGEWIDTH], file.tag_v2[IMAGELENGTH], turn
            return file.width, file.height, orientation_of(file)
    except DECODING_ERRORS as error:
        raise unreadable(picture, error) from error
