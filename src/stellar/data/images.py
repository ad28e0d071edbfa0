"""Picture files to uint8 RGB tensors, as a viewer shows them, or one sentence that says why not.

EXIF rotation is applied, transparency is laid on white, 16-bit greys are scaled to 8 bits, and an
animation gives its first frame. Every file is decoded in full, since its header does not tell
whether it is truncated. Plain JPEG files go through simplejpeg where that is installed: the same
pixels, a third faster.
"""

import struct
import warnings
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError
from torch import Tensor

try:
    import simplejpeg
except ModuleNotFoundError:
    simplejpeg = None

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")
"""Formats that are opened; Pillow registers many more, some of which start other programs."""
MAX_PIXELS = 100_000_000
"""Largest picture that is decoded: a small file can hold far more than the memory does."""

# What Pillow raises on damaged files (files of each format were damaged at random to find out).
_DECODING_ERRORS = (
    OSError,
    ValueError,
    SyntaxError,
    EOFError,
    IndexError,
    TypeError,
    OverflowError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)


class UnreadableImage(Exception):
    """A file that gives no picture, and the reason."""

    def __init__(self, path: Path | str, reason: str) -> None:
        super().__init__(f"cannot read {path}: {reason}")
        self.path, self.reason = str(path), reason

    def __reduce__(self) -> tuple[type, tuple[str, str]]:
        return type(self), (self.path, self.reason)


def read_image(path: Path | str) -> UInt8[Tensor, "3 h w"]:
    """The picture in a file, with channels-last memory; UnreadableImage if none, or too large."""
    try:
        # Pillow warns of large pictures and odd metadata; here a file decodes or it does not.
        with warnings.catch_warnings(action="ignore"), Path(path).open("rb") as file:
            pixels = _decode(file)
    except UnidentifiedImageError as error:
        expected = "JPEG, PNG, WebP, BMP, TIFF or GIF"
        raise UnreadableImage(path, f"it is not a {expected} picture") from error
    except _DECODING_ERRORS as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise UnreadableImage(path, reason) from error
    return torch.from_numpy(pixels).permute(2, 0, 1)


def _decode(file: BinaryIO) -> np.ndarray:
    """Pixels (h, w, 3) of an open file."""
    with Image.open(file, formats=FORMATS) as image:
        width, height = image.size
        if width * height > MAX_PIXELS:
            raise ValueError(
                f"{width} x {height} pixels are more than {MAX_PIXELS // 10**6} million"
            )
        plain = image.format == "JPEG" and image.mode in ("RGB", "L") and not _is_rotated(image)
        if simplejpeg is not None and plain:
            file.seek(0)
            try:
                return simplejpeg.decode_jpeg(file.read())
            except ValueError:
                # Damaged, perhaps harmlessly: Pillow decides, as it does without simplejpeg.
                file.seek(0)
        image.load()
        return np.array(_to_rgb(ImageOps.exif_transpose(image) if _is_rotated(image) else image))


def _is_rotated(image: Image.Image) -> bool:
    """Whether the metadata, where it can be read, asks for a rotation or a mirror image."""
    try:
        return image.getexif().get(ExifTags.Base.Orientation, 1) in range(2, 9)
    except _DECODING_ERRORS:
        return False


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        image = _to_eight_bits(image)
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image.convert("RGB")


def _to_eight_bits(image: Image.Image) -> Image.Image:
    """Greys of more bits: 16 bits and [0, 1] by their full scale, others by their own range."""
    values = np.nan_to_num(np.asarray(image, dtype=np.float64))
    low, high = float(values.min()), float(values.max())
    full_scale = 1.0 if image.mode == "F" else 65535.0
    if low >= 0 and high <= full_scale:
        low, high = 0.0, full_scale
    scaled = (values - low) * (255 / max(high - low, 1e-12))
    return Image.fromarray(np.rint(scaled).astype(np.uint8))
