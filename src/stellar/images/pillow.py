"""Pillow's images to pictures, as a viewer shows them.

EXIF rotation is applied, colours of another profile become sRGB, and transparency is laid on white.
Greys of more than 8 bits keep their precision. Alpha is a channel only where an RGBA image, or one
with a palette of such colours, meets a model of four channels.
"""

import errno
import io
import struct
import zlib
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms

from stellar.images.arrays import from_array
from stellar.images.orientation import UPRIGHT, orientation_of, turned
from stellar.images.picture import Picture, Pixels, UnreadableImage, eight_bits
from stellar.images.ranges import to_range

MAX_PIXELS = 100_000_000
"""Largest picture that is decoded: a small file can hold far more than the memory does."""
_SPOKEN = (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError)
"""Errors whose text is meant for people."""
DECODING_ERRORS = (
    *_SPOKEN,
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    MemoryError,
    RuntimeError,
    TypeError,
    struct.error,
    zlib.error,
)
"""What Pillow and tifffile raise on damaged files: files of each format were damaged at random to
find out.
"""

_PRECISE = ("I", "F", "I;16", "I;16B", "I;16L", "I;16N")
"""Modes of grey images with more than 8 bits."""
_ALPHA = ("RGBA", "LA")
_MULTIPLIED = ("RGBa", "La")
"""Modes whose colours are multiplied by their transparency already."""

Step = tuple[str, Callable[[Image.Image], bool], Callable[[Image.Image], Image.Image]]


def to_pillow(pixels: Pixels) -> Image.Image:
    """A picture as people see it, in RGB: one or two channels as grey, by the first; of more, the
    first three.
    """
    shown = pixels[:3] if len(pixels) >= 3 else pixels[:1].expand(3, -1, -1)
    return Image.fromarray(eight_bits(shown).permute(1, 2, 0).contiguous().numpy())


def from_pillow(image: Image.Image, channels: int = 3) -> Picture:
    """A picture with the channels that a model takes, and what was done to get them.

    Raises InputError when the image has others, ValueError when none of its numbers is finite.
    """
    image, changes = _looked_up(image), []
    for words, applies, change in _steps(channels):
        if applies(image):
            image = change(image)
            changes.append(words)
    array = np.array(image)
    if image.mode in ("I", "F"):
        array, scaled = to_range(array, 1.0 if image.mode == "F" else 65535.0)
        changes.extend(scaled)
    picture = from_array(array, channels)
    return Picture(picture.pixels, (*changes, *picture.changes))


def _steps(channels: int) -> Iterator[Step]:
    """What is done, in order: in words, when, and how."""
    stored = ("RGBA", "RGBX", "CMYK") if channels == 4 else ()
    plain = ("L", "RGB", *_PRECISE, *stored)
    yield "turned as its metadata says", is_rotated, _upright
    yield (
        "colours divided by their transparency",
        lambda image: image.mode in _MULTIPLIED,
        lambda image: image.convert(image.mode.upper()),
    )
    yield (
        "colours of its profile converted to sRGB",
        lambda image: image.mode not in stored and has_other_profile(image),
        _to_srgb,
    )
    yield (
        "transparency left out, which hides all of it",
        lambda image: image.mode not in stored and _hides_everything(image),
        lambda image: image.convert(image.mode[:-1]),
    )
    yield (
        "transparency laid on white",
        lambda image: image.mode not in stored and image.mode in _ALPHA,
        _on_white,
    )
    yield (
        "black and white made grey",
        lambda image: image.mode == "1",
        lambda image: image.convert("L"),
    )
    yield (
        "colours converted to RGB",
        lambda image: image.mode not in plain,
        lambda image: image.convert("RGB"),
    )
    yield (
        "colours converted to grey",
        lambda image: channels == 1 and image.mode == "RGB",
        lambda image: image.convert("L"),
    )


def reason_of(error: Exception) -> str:
    """What such an error says, in words."""
    said = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return said if isinstance(error, _SPOKEN) else f"it is damaged ({type(error).__name__}: {said})"


def unreadable(path: Path | str, error: Exception) -> UnreadableImage:
    """What such an error says of a file. Raises the error itself where it is not the file's."""
    if is_of_the_machine(error):
        raise error
    return UnreadableImage(path, reason_of(error))


def is_of_the_machine(error: Exception) -> bool:
    """Whether no file handles or no memory are left, so that every other file would fail as well:
    then it must not count as unreadable.
    """
    if isinstance(error, OSError):
        return error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM)
    return isinstance(error, MemoryError) and not _has_memory()


def _has_memory() -> bool:
    """Whether there is as much as any picture that is let through takes; a damaged file may ask for
    more than any machine has.
    """
    try:
        np.empty(4 * MAX_PIXELS, np.uint8)
    except MemoryError:
        return False
    return True


def is_rotated(image: Image.Image) -> bool:
    """Whether the metadata, where it can be read, asks for a rotation or a mirror image."""
    return orientation_of(image) != UPRIGHT


def _upright(image: Image.Image) -> Image.Image:
    return turned(image, orientation_of(image))


def has_other_profile(image: Image.Image) -> bool:
    """Whether a colour profile is embedded that can be used and is not sRGB."""
    profile = image.info.get("icc_profile")
    return bool(profile) and _transform(profile, image.mode) is not None


def _to_srgb(image: Image.Image) -> Image.Image:
    transform = _transform(image.info["icc_profile"], image.mode)
    assert transform is not None
    return transform.apply(image)


@lru_cache(maxsize=16)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """From a profile to sRGB; None for sRGB itself, greys, and profiles that cannot be used."""
    if mode not in ("RGB", "RGBA", "CMYK"):
        return None
    try:
        opened = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if "sRGB" in ImageCms.getProfileDescription(opened):
            return None
        srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
        result = "RGBA" if mode == "RGBA" else "RGB"
        return ImageCms.ImageCmsTransform(opened, srgb, mode, result)
    except (ImageCms.PyCMSError, *DECODING_ERRORS):
        return None


def _looked_up(image: Image.Image) -> Image.Image:
    """The same colours and the same alpha, where they are given by a palette or by a colour that
    counts as transparent.
    """
    clear = image.has_transparency_data
    if image.mode in ("P", "PA"):
        return image.convert("RGBA" if clear else "RGB")
    if clear and image.mode in ("1", "L", "RGB"):
        return image.convert("RGBA" if image.mode == "RGB" else "LA")
    return image


def _hides_everything(image: Image.Image) -> bool:
    """Whether alpha is 0 everywhere: nobody means a picture to be seen so."""
    return image.mode in _ALPHA and image.getextrema()[-1] == (0, 0)


def _on_white(image: Image.Image) -> Image.Image:
    image = image.convert("RGBA")
    white = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(white, image).convert("RGB")
