"""TIFF files: by Pillow, and by tifffile where it is installed (extra `tiff`).

TIFF is a family of formats, of which Pillow knows pictures to look at: grey, RGB and CMYK of 8
bits, grey of more. tifffile knows what instruments write: any number of bands, apart or not, of any
kind of number. Models of 1 and 3 channels take Pillow's reading where there is one, so that what
they see does not depend on what is installed; others have every band as it is stored.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import SEEK_END, BufferedReader, BytesIO
from typing import Any

import numpy as np
from PIL import Image, ImageSequence
from PIL.TiffImagePlugin import ImageFileDirectory_v2, TiffImageFile

from stellar.images.arrays import from_array
from stellar.images.orientation import turned_array
from stellar.images.picture import InputError, Picture
from stellar.images.pillow import DECODING_ERRORS, from_pillow, is_of_the_machine, reason_of
from stellar.images.quiet import UNLOGGED
from stellar.images.ranges import to_range

try:
    import tifffile
except ModuleNotFoundError:
    tifffile = None

MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
"""How a TIFF begins; the last two are BigTIFF."""
HOW_TO = 'pip install "stellar-vision[tiff]" reads it'
_BITS, _PACKED, _MEANING, _SAMPLES, _PLANES, _NUMBERS, _SLICES = 258, 259, 262, 277, 284, 339, 32997
"""Tags: bits of a number, how they are compressed (1: not at all), what it means, numbers of a
pixel, where bands lie (2: apart), what kind of number it is, and slices of a volume.
"""
_UNSIGNED, _SIGNED = 1, 2
_KINDS = {_UNSIGNED: "unsigned", _SIGNED: "signed", 3: "floating point", 5: "complex", 6: "complex"}
_WHITE_IS_ZERO, _GREY, _RGB = 0, 1, 2
_MULTIPLIED = 1
_ALPHA = (_MULTIPLIED, 2)
"""What an extra sample may be: alpha that colours are multiplied with already, or are not."""

File = BufferedReader | BytesIO
CheckSize = Callable[[int, int], None]
"""Raises ValueError for a width and height that are too large to decode."""


def read_tiff(file: File, channels: int, check_size: CheckSize) -> Picture:
    """The picture in a TIFF. Raises InputError where it has other channels than the model takes,
    and one of DECODING_ERRORS where it cannot be read.
    """
    readers = [_by_pillow, _by_tifffile] if channels in (1, 3) else [_by_tifffile, _by_pillow]
    reasons = []
    for read in readers:
        file.seek(0)
        try:
            return read(file, channels, check_size)
        except InputError as error:
            if reasons in ([], [HOW_TO]):
                raise
            reasons.append(error.reason)
        except DECODING_ERRORS as error:
            if is_of_the_machine(error):
                raise
            reasons.append(reason_of(error))
    raise ValueError("; ".join(dict.fromkeys(reasons)))


def read_band(file: File, check_size: CheckSize) -> np.ndarray:
    """The numbers (h w) of a TIFF of one number a pixel, of any kind, as they are stored.

    Raises ValueError for more of them, and one of DECODING_ERRORS where it cannot be read.
    """
    if tifffile is None:
        raise ValueError(f"its numbers are of a kind that Pillow does not read; {HOW_TO}")
    with _told(), UNLOGGED, tifffile.TiffFile(file) as tiff:
        bands = _bands(tiff.pages.first, file, check_size)
    if bands.shape[2] > 1:
        raise ValueError(f"it holds {bands.shape[2]} numbers for each pixel, but one was expected")
    return bands[:, :, 0]


def _by_pillow(file: File, channels: int, check_size: CheckSize) -> Picture:
    try:
        with Image.open(file, formats=("TIFF",)) as image:
            assert isinstance(image, TiffImageFile)
            if _is_misread(image):
                raise ValueError(f"Pillow misreads a TIFF of {_described(file)}")
            pages = image.n_frames
            if channels not in (1, 3) and pages == channels:
                check_size(image.width, image.height * pages)
                stack = np.stack([np.array(page) for page in ImageSequence.Iterator(image)], -1)
                return _with_a_page_for_each(from_array(stack, channels))
            check_size(image.width, image.height)
            bits = image.tag_v2.get(_BITS, (8,))
            image.load()
            if image.mode.startswith("I;16") and max(bits) < 16:
                array, changes = _ranged(np.array(image).astype(np.uint16), max(bits))
                picture = from_array(array, channels)
                return Picture(picture.pixels, (*changes, *picture.changes))
            return from_pillow(image, channels)
    except Image.UnidentifiedImageError as error:
        raise ValueError(f"Pillow does not read a TIFF of {_described(file)}") from error


def _is_misread(image: TiffImageFile) -> bool:
    """What Pillow opens and takes for something else."""
    tags = image.tag_v2
    bits, kind = max(tags.get(_BITS, (1,))), tags.get(_NUMBERS, (1,))[0]
    apart = tags.get(_PLANES, 1) == 2 and tags.get(_SAMPLES, 1) > 1
    white_is_zero = tags.get(_MEANING) == _WHITE_IS_ZERO
    return (
        (bits > 8 and (apart or white_is_zero))
        or (bits == 8 and kind == _SIGNED)
        or (bits == 32 and kind == _UNSIGNED)
        or tags.get(_SLICES, 1) > 1
        or is_swapped(image)
    )


def is_swapped(image: TiffImageFile) -> bool:
    """Whether Pillow exchanges the bytes of its numbers, which libtiff has put in order already."""
    tags = image.tag_v2
    kind = tags.get(_NUMBERS, (_UNSIGNED,))[0]
    return tags.prefix == b"MM" and tags.get(_PACKED, 1) != 1 and kind != _UNSIGNED


def _described(file: File) -> str:
    """What a TIFF is made of, in words."""
    file.seek(0)
    try:
        tags = ImageFileDirectory_v2(file.read(8))
        file.seek(tags.next)
        tags.load(file)
        bits, kind = tags.get(_BITS, (1,)), tags.get(_NUMBERS, (1,))
        number = f"{max(bits)} bits ({_KINDS.get(kind[0], 'another kind')})"
        apart = ", which lie apart" if tags.get(_PLANES, 1) == 2 else ""
        return f"{tags.get(_SAMPLES, 1)} numbers of {number} a pixel{apart}"
    except DECODING_ERRORS:
        return "this kind"


def _by_tifffile(file: File, channels: int, check_size: CheckSize) -> Picture:
    if tifffile is None:
        raise ValueError(HOW_TO)
    with _told(), UNLOGGED, tifffile.TiffFile(file) as tiff:
        page = tiff.pages.first
        one_band = page.samplesperpixel == 1
        if channels in (1, 3) or not one_band or len(tiff.pages) != channels:
            return _as_stored(_bands(page, file, check_size), page, channels)
        bands = [_bands(each, file, check_size) for each in tiff.pages]
        if len({each.shape for each in bands}) > 1:
            raise ValueError("its pages are of different sizes")
        return _with_a_page_for_each(_as_stored(np.concatenate(bands, axis=2), page, channels))


@contextmanager
def _told() -> Iterator[None]:
    """Errors of tifffile's own, which are no ValueErrors in every version, and a codec that was not
    built into imagecodecs, as ValueErrors.
    """
    try:
        yield
    except (getattr(tifffile, "TiffFileError", ValueError), ImportError) as error:
        raise ValueError(str(error)) from error


def _bands(page: Any, file: File, check_size: CheckSize) -> np.ndarray:
    """The numbers of a page (h w c), as they are stored. Raises ValueError where some are not."""
    check_size(page.imagewidth, page.imagelength * -(-page.samplesperpixel // 4))
    end = file.seek(0, SEEK_END)
    segments = zip(page.dataoffsets, page.databytecounts, strict=True)
    if any(offset + count > end for offset, count in segments):
        raise ValueError("it is truncated: it ends before its pixels do")
    apart, depth, *_ = (array := page.asarray(squeeze=False)).shape
    if depth != 1:
        raise ValueError(f"it is a volume of {depth} slices, not a picture")
    return array[:, 0, :, :, 0].transpose(1, 2, 0) if apart > 1 else array[0, 0]


def _as_stored(array: np.ndarray, page: Any, channels: int) -> Picture:
    """The picture that the numbers of a page (or of its like, side by side) mean."""
    photometric, extra = int(page.photometric), [int(kind) for kind in page.extrasamples]
    if photometric not in (_WHITE_IS_ZERO, _GREY, _RGB) and channels in (1, 3):
        raise ValueError(f"its colours are {page.photometric.name}, which is not read")
    array, changes = _ranged(array, int(np.max(page.bitspersample)))
    if photometric == _WHITE_IS_ZERO:
        array = np.iinfo(array.dtype).max - array if array.dtype.kind in "ui" else 1 - array
        changes.append("white and black exchanged")
    colours = 3 if photometric == _RGB else 1
    if channels in (1, 3) and array.shape[2] == colours + 1 and len(extra) == 1:
        array, said = _without_extra(array, extra[0])
        changes.append(said)
    if channels == 1 and colours == 3 and array.shape[2] == 3:
        array = _unit(array) @ np.array([[0.299], [0.587], [0.114]], np.float32)
        changes.append("colours converted to grey")
    if channels == 3 and "InterColorProfile" in page.tags:
        changes.append("the colours of its profile taken as they are")
    orientation = page.tags.get("Orientation")
    if orientation is not None and orientation.value in range(2, 9):
        array = turned_array(array, orientation.value)
        changes.insert(0, "turned as its metadata says")
    picture = from_array(array, channels)
    return Picture(picture.pixels, (*changes, *picture.changes))


def _ranged(array: np.ndarray, bits: int) -> tuple[np.ndarray, list[str]]:
    """Numbers of 8 or 16 bits without a sign, or floats in [0, 1]; and what was done."""
    if array.dtype.kind == "c":
        raise ValueError("its numbers are complex")
    if array.dtype == bool:
        return array.astype(np.uint8) * 255, ["black and white made grey"]
    if array.dtype in (np.uint8, np.uint16):
        if bits == 8 * array.dtype.itemsize:
            return array, []
        return array.astype(np.float32) / (2**bits - 1), [f"{bits} bits scaled to [0, 1]"]
    values, changes = to_range(array, 1.0 if array.dtype.kind == "f" else 65535.0)
    if values.dtype.kind in "iu":
        values = values.astype(np.uint16)
    return values.astype(np.float32) if values.dtype.kind == "f" else values, list(changes)


def _unit(array: np.ndarray) -> np.ndarray:
    """As floats in [0, 1]."""
    largest = np.iinfo(array.dtype).max if array.dtype.kind in "ui" else 1
    return array.astype(np.float32) / largest


def _without_extra(array: np.ndarray, kind: int) -> tuple[np.ndarray, str]:
    """Colours alone: laid on white where the band after them is alpha."""
    if kind not in _ALPHA:
        return array[:, :, :-1], "a band that is no colour left out"
    unit = _unit(array)
    colours, alpha = unit[:, :, :-1], unit[:, :, -1:]
    over = colours if kind == _MULTIPLIED else colours * alpha
    return (over + 1 - alpha).clip(0, 1), "transparency laid on white"


def _with_a_page_for_each(picture: Picture) -> Picture:
    return Picture(picture.pixels, ("a page read for each channel", *picture.changes))
