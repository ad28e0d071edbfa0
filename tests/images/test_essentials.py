"""What lies beside the pixels of a PNG or JPEG does not decide whether it is read."""

import io
import struct
import zlib
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image, ImageCms

from stellar.images import UnreadableImage, read_picture
from stellar.images.essentials import essentials

TEXTS = (b"tEXt", b"zTXt", b"iTXt")
OTHERS = (b"gAMA", b"cHRM", b"pHYs", b"tIME", b"sBIT", b"bKGD", b"sPLT", b"sRGB", b"eXIf", b"caBX")
ANIMATED = (b"acTL", b"fcTL", b"fdAT")
ANCILLARY = (*TEXTS, *OTHERS, *ANIMATED, b"iCCP")


def chunk(name: bytes, content: bytes) -> bytes:
    check = struct.pack(">I", zlib.crc32(name + content))
    return struct.pack(">I", len(content)) + name + content + check


def picture() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (16, 20, 3), dtype=np.uint8)


def encoded(kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture()).save(buffer, kind, **options)
    return buffer.getvalue()


def with_chunk(extra: bytes) -> bytes:
    """A PNG with one chunk more, before its pixels."""
    data = encoded("PNG")
    return data[:33] + extra + data[33:]


def read(data: bytes) -> np.ndarray:
    return read_picture("a", 3, data).pixels.permute(1, 2, 0).numpy()


@pytest.mark.parametrize("name", ANCILLARY)
def test_any_chunk_may_hold_anything(name: bytes) -> None:
    rng = np.random.default_rng(0)
    contents = [
        b"",
        b"\0",
        rng.bytes(1),
        rng.bytes(13),
        rng.bytes(300),
        b"name\0\0" + rng.bytes(40),
    ]
    for content in contents:
        assert np.array_equal(read(with_chunk(chunk(name, content))), picture()), content
    broken = bytearray(chunk(name, contents[3]))
    broken[-1] ^= 255
    assert np.array_equal(read(with_chunk(bytes(broken))), picture())


def test_any_amount_of_text() -> None:
    packed = zlib.compress(b"x" * (3 << 20))
    for extra in (
        chunk(b"zTXt", b"Comment\0\0" + packed),
        chunk(b"iTXt", b"Comment\0\1\0\0\0" + packed),
        chunk(b"iCCP", b"profile\0\0" + zlib.compress(b"x" * (30 << 20))),
        b"".join(chunk(b"tEXt", b"key\0" + b"x" * 1_000_000) for _ in range(70)),
    ):
        assert np.array_equal(read(with_chunk(extra)), picture())


def test_what_is_about_the_pixels_is_kept() -> None:
    """Its turn, its profile and its transparency, where a text makes the rest a damaged file."""
    text = chunk(b"zTXt", b"Comment\0\0" + zlib.compress(b"x" * (3 << 20)))
    exif = Image.Exif()
    exif[0x0112] = 6
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    data = encoded(
        "PNG", exif=exif, icc_profile=profile, transparency=tuple(picture()[0, 0].tolist())
    )
    bare = essentials(data[:33] + text + data[33:])
    assert bare is not None
    assert bare[1] is not None
    opened = Image.open(io.BytesIO(bare[0]))
    assert opened.info["icc_profile"] == profile
    assert opened.info["transparency"] == tuple(picture()[0, 0])
    found = read_picture("a", 3, data[:33] + text + data[33:])
    assert found.changes == ("turned as its metadata says", "transparency laid on white")
    assert found.pixels.shape == (3, 20, 16)


def test_damage_where_the_pixels_are_still_matters() -> None:
    data = bytearray(encoded("PNG"))
    data[data.index(b"IDAT") + 20] ^= 255
    with pytest.raises(UnreadableImage):
        read(bytes(data))
    assert essentials(b"GIF89a") is None
    assert essentials(b"\xff\xd8\xff\xe0\0\x10JF") is None
    assert essentials(b"\xff\xd8\0\0\0\0") is None


def segments() -> Iterator[bytes]:
    """What cameras and programs write before the pixels of a JPEG, and what they should not."""
    rng = np.random.default_rng(0)
    for marker in (*range(0xE1, 0xF0), 0xFE):
        for content in (
            b"", b"Exif\0\0", b"MPF\0" + rng.bytes(30), b"Photoshop 3.0\x008BIM" + rng.bytes(40),
            b"ICC_PROFILE\0\1\2" + rng.bytes(50), b"http://ns.adobe.com/xap/1.0/\0<x", rng.bytes(9),
        ):  # fmt: skip
            yield struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def test_any_segment_may_hold_anything() -> None:
    data = encoded("JPEG", quality=95)
    expected = read(data)
    for extra in segments():
        if extra[1] != 0xEE:  # Adobe's says how colours are stored
            assert np.array_equal(read(data[:2] + extra + data[2:]), expected), extra


def test_a_jpeg_without_its_metadata_has_the_same_pixels() -> None:
    exif = Image.Exif()
    exif[0x0112] = 3
    data = encoded("JPEG", exif=exif, comment=b"hello", quality=95)
    bare = essentials(data)
    assert bare is not None
    assert b"hello" not in bare[0]
    assert b"Exif" not in bare[0]
    assert np.array_equal(
        np.array(Image.open(io.BytesIO(bare[0]))), np.array(Image.open(io.BytesIO(data)))
    )
    assert bare[1] is not None
    assert bare[1].startswith(b"Exif")
