"""PNG and JPEG files without what lies beside their pixels: for those whose texts, profiles or
comments a decoder refuses though every pixel is there.
"""

import struct
import zlib

_PNG = b"\x89PNG\r\n\x1a\n"
_CRITICAL = (b"IHDR", b"PLTE", b"IDAT", b"IEND")
_PALETTE_ALPHA, _EXIF, _PROFILE = b"tRNS", b"eXIf", b"iCCP"
_JPEG = b"\xff\xd8"
_START_OF_SCAN, _COMMENT = 0xDA, 0xFE
_APPLICATION = range(0xE0, 0xF0)
_LARGEST_PROFILE = 1 << 22
"""Bytes of a colour profile; larger ones are left out."""


def essentials(data: bytes) -> tuple[bytes, bytes | None] | None:
    """The same picture without its metadata, and its EXIF block apart; None for what is neither a
    PNG nor a JPEG, or is damaged where it matters.
    """
    if data.startswith(_PNG):
        return _of_png(data)
    if data.startswith(_JPEG):
        return _of_jpeg(data)
    return None


def _of_png(data: bytes) -> tuple[bytes, bytes | None]:
    """Critical chunks, as they are; of the others transparency and a profile that are whole."""
    kept, exif, place = [_PNG], None, len(_PNG)
    while place + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, place)
        name, end = data[place + 4 : place + 8], place + 12 + length
        content, stored = data[place + 8 : end - 4], data[end - 4 : end]
        whole = stored == struct.pack(">I", zlib.crc32(name + content))
        if name in _CRITICAL or (whole and (name == _PALETTE_ALPHA or _is_profile(name, content))):
            kept.append(data[place:end])
        elif whole and name == _EXIF:
            exif = content
        place = end
        if name == b"IEND":
            break
    return b"".join(kept), exif


def _is_profile(name: bytes, content: bytes) -> bool:
    """Whether a chunk is a colour profile that unpacks, to a size that one may have."""
    if name != _PROFILE:
        return False
    unpacker = zlib.decompressobj()
    try:
        unpacker.decompress(content.partition(b"\0")[2][1:], _LARGEST_PROFILE)
    except zlib.error:
        return False
    return unpacker.eof


def _of_jpeg(data: bytes) -> tuple[bytes, bytes | None] | None:
    """All segments but comments and those of applications: of these JFIF's, Adobe's and a profile's
    are about colours.
    """
    kept, exif, place = [_JPEG], None, 2
    while place + 4 <= len(data):
        if data[place] != 0xFF:
            return None
        marker = data[place + 1]
        if marker == 0xFF:  # padding
            place += 1
            continue
        if marker == _START_OF_SCAN:
            return b"".join([*kept, data[place:]]), exif
        (length,) = struct.unpack_from(">H", data, place + 2)
        content = data[place + 4 : place + 2 + length]
        if content.startswith(b"Exif\0\0"):
            exif = exif or content
        about_colours = content.startswith((b"JFIF\0", b"Adobe", b"ICC_PROFILE\0"))
        if about_colours or marker not in (*_APPLICATION, _COMMENT):
            kept.append(data[place : place + 2 + length])
        place += 2 + length
    return None
