"""Picture files to pictures, or one sentence that says why not.

JPEG, PNG, WebP, BMP, TIFF and GIF, of which an animation gives its first frame, and .npy arrays
(h w) or (h w c). A TIFF whose pages are as many as a model's channels gives a page for a channel.
What lies beside the pixels, such as texts and damaged profiles, does not decide whether a picture
is read. Every file is decoded to its end, since its header does not tell whether it is truncated.
Plain JPEG files go through simplejpeg where that is installed: the same pixels, a third faster.
"""

import math
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from stat import S_ISREG
from tokenize import TokenError

import numpy as np
from PIL import Image, UnidentifiedImageError

from stellar.images.arrays import from_array
from stellar.images.essentials import essentials
from stellar.images.orientation import orientation_of, turned_size
from stellar.images.picture import Picture, Pixels, UnreadableImage
from stellar.images.pillow import (
    DECODING_ERRORS,
    MAX_PIXELS,
    from_pillow,
    has_other_profile,
    is_rotated,
    unreadable,
)
from stellar.images.quiet import UNWARNED
from stellar.images.tiff import MAGIC, File, read_tiff

try:
    import simplejpeg
except ModuleNotFoundError:
    simplejpeg = None

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")
"""Formats that are opened; Pillow registers many more, some of which start other programs."""


def read_image(path: Path | str, channels: int = 3, data: bytes | None = None) -> Pixels:
    """The pixels of the picture in a file; UnreadableImage if none, or too large."""
    return read_picture(path, channels, data).pixels


def read_picture(
    path: Path | str, channels: int = 3, data: bytes | None = None, least: int | None = None
) -> Picture:
    """The picture in a file, with what was done to it; UnreadableImage if none, or too large.

    Where `data` is given, it is the content, and the path only its name. With `least` a JPEG is
    decoded at a reduced scale, several times faster, at which both sides still have so many pixels.
    Raises OSError and MemoryError where the machine has no file handles or no memory left.
    """
    try:
        with UNWARNED, _opened(path, data) as file:
            if Path(path).suffix.lower() == ".npy":
                return from_array(_load_array(file), channels)
            return _decode(file, channels, least)
    except UnidentifiedImageError as error:
        expected = "JPEG, PNG, WebP, BMP, TIFF or GIF"
        raise UnreadableImage(path, f"it is not a {expected} picture") from error
    except DECODING_ERRORS as error:
        raise unreadable(path, error) from error


def _opened(path: Path | str, data: bytes | None) -> File:
    if data is not None:
        return BytesIO(data)
    require_regular(Path(path))
    return Path(path).open("rb")


def require_regular(path: Path) -> None:
    """Raises ValueError for a pipe, which would be waited for, perhaps for ever, and its like."""
    if not S_ISREG(path.stat().st_mode):
        raise ValueError("it is no regular file")


def _load_array(file: File) -> np.ndarray:
    """The array of a .npy file; a header cannot ask for more than there is."""
    version = np.lib.format.read_magic(file)
    read_header = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }.get(version)
    if read_header is None:
        raise ValueError(f"version {version} of the .npy format is not known")
    try:
        shape, fortran_order, dtype = read_header(file)
    except TokenError as error:
        raise ValueError("its header is damaged") from error
    if dtype.hasobject:
        raise ValueError("it holds Python objects, which are never unpickled")
    if len(shape) >= 2:
        check_size(shape[1], shape[0])
    values = np.frombuffer(file.read(), dtype, math.prod(shape))
    return values.reshape(shape, order="F" if fortran_order else "C").copy()


def _decode(file: File, channels: int, least: int | None) -> Picture:
    """The picture in a file. Metadata decides nothing: what cannot be decoded with it is decoded
    without.
    """
    begin = file.read(4)
    file.seek(0)
    if begin in MAGIC:
        return read_tiff(file, channels, check_size)
    try:
        return _by_pillow(file, channels, least)
    except DECODING_ERRORS:
        file.seek(0)
        bare = essentials(file.read())
        if bare is None:
            raise
    pixels, exif = bare
    return _by_pillow(BytesIO(pixels), channels, least, exif)


def _by_pillow(file: File, channels: int, least: int | None, exif: bytes | None = None) -> Picture:
    with Image.open(file, formats=FORMATS) as image:
        if exif is not None:
            image.info["exif"] = exif
        check_size(image.width, image.height)
        full = turned_size(image.size, orientation_of(image))
        if least is not None:
            image.draft(None, (least, least))  # of a JPEG alone
        elif simplejpeg is not None and _is_plain_jpeg(image, channels):
            file.seek(0)
            try:
                space = "GRAY" if image.mode == "L" else "RGB"
                return from_array(simplejpeg.decode_jpeg(file.read(), space), channels)
            except ValueError:
                # Damaged, perhaps harmlessly: Pillow decides, as it does without simplejpeg.
                file.seek(0)
        image.load()
        return replace(from_pillow(image, channels), full_size=full)


def check_size(width: int, height: int) -> None:
    """Raises ValueError for a picture that is too large to decode."""
    if width * height > MAX_PIXELS:
        raise ValueError(f"{width} x {height} pixels are more than {MAX_PIXELS // 10**6} million")


def _is_plain_jpeg(image: Image.Image, channels: int) -> bool:
    """Whether the stored values are those that are wanted: upright, in sRGB or grey."""
    wanted = {1: ("L",), 3: ("RGB", "L")}.get(channels, ())
    as_stored = image.format == "JPEG" and image.mode in wanted
    return as_stored and not is_rotated(image) and not has_other_profile(image)
