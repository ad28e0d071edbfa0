"""Which way up a picture is: its EXIF orientation, and nothing else of its metadata.

Pillow reads the whole block, and to turn a picture it writes the block again; both fail on entries
that no viewer minds, though the pixels are whole.
"""

import re
import struct

import numpy as np
from PIL import Image

UPRIGHT, SIDEWAYS = 1, range(5, 9)
TAG = 0x0112
_NUMBERS = {1: "B", 3: "H", 4: "I"}
"""TIFF's types of whole numbers, as `struct` names them."""
_BYTE_ORDERS = {b"II": "<", b"MM": ">"}
_IN_XMP = re.compile(rb'tiff:Orientation(?:="|>)([1-8])')
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def orientation_of(image: Image.Image) -> int:
    """1 to 8, as EXIF numbers them; UPRIGHT where the metadata does not say, or cannot be read. A
    TIFF is upright: Pillow turns it when it is loaded.
    """
    for block in (image.info.get("exif"), _from_hex(image.info.get("Raw profile type exif"))):
        if isinstance(block, bytes) and (found := in_exif(block)):
            return found
    for name in ("xmp", "XML:com.adobe.xmp"):
        text = image.info.get(name, b"")
        text = text.encode() if isinstance(text, str) else text
        if isinstance(text, bytes) and (match := _IN_XMP.search(text)):
            return int(match[1])
    return UPRIGHT


def turned(image: Image.Image, orientation: int) -> Image.Image:
    """The image as a viewer shows it, whose pixels are stored in this orientation."""
    return image.transpose(_TURNS[orientation]) if orientation in _TURNS else image


def turned_size(size: tuple[int, int], orientation: int) -> tuple[int, int]:
    """Width and height of `turned`."""
    width, height = size
    return (height, width) if orientation in SIDEWAYS else size


def turned_array(array: np.ndarray, orientation: int) -> np.ndarray:
    """`turned`, of numbers (h w ...) that may be no Pillow image."""
    if orientation in SIDEWAYS:
        array = array.swapaxes(0, 1)
    rows = -1 if orientation in (3, 4, 7, 8) else 1
    columns = -1 if orientation in (2, 3, 6, 7) else 1
    return array[::rows, ::columns]


def stored_array(array: np.ndarray, orientation: int) -> np.ndarray:
    """What `turned_array` made this array of."""
    return turned_array(array, {6: 8, 8: 6}.get(orientation, orientation))


def in_exif(block: bytes) -> int | None:
    """The orientation in an EXIF block, if it says one."""
    block = block.removeprefix(b"Exif\0\0")
    order = _BYTE_ORDERS.get(block[:2])
    if order is None:
        return None
    try:
        (start,) = struct.unpack_from(f"{order}I", block, 4)
        (count,) = struct.unpack_from(f"{order}H", block, start)
        for entry in range(start + 2, start + 2 + 12 * count, 12):
            tag, kind, _ = struct.unpack_from(f"{order}HHI", block, entry)
            if tag == TAG and kind in _NUMBERS:
                (value,) = struct.unpack_from(order + _NUMBERS[kind], block, entry + 8)
                return value if value in range(1, 9) else None
    except struct.error:  # it points beyond its end
        pass
    return None


def _from_hex(text: object) -> bytes | None:
    """The block in a text of ImageMagick's: a blank line, a name, a length, then digits."""
    if not isinstance(text, str):
        return None
    try:
        return bytes.fromhex("".join(text.split("\n")[3:]))
    except ValueError:
        return None
