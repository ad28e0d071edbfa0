"""Orientation by EXIF and XMP alone, whatever else the metadata holds."""

import io
import struct

import numpy as np
import pytest
from PIL import Image, ImageOps

from stellar.images import read_picture
from stellar.images.orientation import TAG, UPRIGHT, in_exif, orientation_of, turned

# Pillow, which is the oracle here, warns of what it cannot read.
pytestmark = pytest.mark.filterwarnings("ignore")


def exif(
    entries: list[tuple[int, int, bytes]], order: str = "<", count: int | None = None
) -> bytes:
    """An EXIF block of (tag, type, four bytes of value)."""
    body = b"".join(
        struct.pack(f"{order}HHI", tag, kind, 1) + value for tag, kind, value in entries
    )
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", 8)
    number = struct.pack(f"{order}H", len(entries) if count is None else count)
    return b"Exif\0\0" + head + number + body + bytes(4)


def jpeg(block: bytes) -> tuple[bytes, np.ndarray]:
    """A JPEG with this block, and its pixels as they are stored."""
    ramp = np.linspace(0, 255, 24 * 36).reshape(24, 36).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(ramp).convert("RGB").save(buffer, "JPEG", quality=95, exif=block)
    return buffer.getvalue(), np.array(Image.open(buffer))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("order", ["<", ">"])
def test_it_is_read_and_obeyed_as_by_pillow(orientation: int, order: str) -> None:
    value = struct.pack(f"{order}HH", orientation, 0)
    block = exif([(TAG, 3, value)], order)
    assert in_exif(block) == orientation
    data, _ = jpeg(block)
    image = Image.open(io.BytesIO(data))
    expected = np.array(ImageOps.exif_transpose(image))
    assert np.array_equal(np.array(turned(image, orientation_of(image))), expected)


ODD = (0x0201, 0x8769, 0x8825, 0x011A, 0x9286, 0x010F, 0xC4A5, 0x0000, 0xFFFF)
"""Tags that point at blocks, hold texts or fractions, or do not exist."""


@pytest.mark.parametrize("kind", [0, 2, 5, 7, 10, 13, 99])
@pytest.mark.parametrize("tag", ODD)
def test_other_entries_do_not_matter(tag: int, kind: int) -> None:
    """Of any type, and pointing anywhere: the picture is turned, and every pixel is there."""
    entries = [(tag, kind, b"\xff\xff\xff\x7f"), (TAG, 3, struct.pack("<HH", 6, 0))]
    data, stored = jpeg(exif(sorted(entries)))
    picture = read_picture("a.jpg", 3, data)
    assert picture.changes == ("turned as its metadata says",)
    assert np.array_equal(picture.pixels.permute(1, 2, 0).numpy(), np.rot90(stored, -1))


def test_whatever_the_block_holds_every_pixel_is_there() -> None:
    whole, rng = (
        exif([(TAG, 3, struct.pack("<HH", 3, 0)), (0x010F, 2, b"abc\0")]),
        np.random.default_rng(0),
    )
    for _ in range(200):
        block = bytearray(whole)
        for place in rng.integers(6, len(block), size=4):
            block[place] = rng.integers(256)
        data, stored = jpeg(bytes(block))
        pixels = read_picture("a.jpg", 3, data).pixels.permute(1, 2, 0).numpy()
        assert any(np.array_equal(pixels, each) for each in every_way(stored))


def every_way(stored: np.ndarray) -> list[np.ndarray]:
    return [np.array(turned(Image.fromarray(stored), number)) for number in range(1, 9)]


@pytest.mark.parametrize(
    "block",
    [
        b"",
        b"nothing",
        b"Exif\0\0",
        b"Exif\0\0II*\0",
        b"Exif\0\0II*\0\xff\xff\xff\xff",
        exif([(TAG, 3, struct.pack("<HH", 9, 0))]),
        exif([(TAG, 2, b"6\0\0\0")]),
        exif([], count=65535),
    ],
)
def test_blocks_that_say_nothing(block: bytes) -> None:
    assert in_exif(block) is None


def test_xmp_and_imagemagick_say_it_where_exif_does_not() -> None:
    image = Image.new("RGB", (2, 2))
    assert orientation_of(image) == UPRIGHT
    image.info["xmp"] = b'<x tiff:Orientation="6"/>'
    assert orientation_of(image) == 6
    image.info = {"XML:com.adobe.xmp": "<tiff:Orientation>8</tiff:Orientation>"}
    assert orientation_of(image) == 8
    block = exif([(TAG, 3, struct.pack("<HH", 5, 0))]).hex()
    image.info = {"Raw profile type exif": f"\nexif\n      {len(block) // 2}\n{block}\n"}
    assert orientation_of(image) == 5
    image.info = {"Raw profile type exif": "\nexif\n 3\nno digits"}
    assert orientation_of(image) == UPRIGHT
