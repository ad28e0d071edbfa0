"""The members of a tar file: its headers alone are read, contents are passed over.

POSIX (pax) and GNU archives are read, with names of any length.
"""

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from stellar.data.folder import DataError
from stellar.quantities import whole_number

BLOCK = 512
"""Bytes of a header; contents start at a multiple of it."""
COMPRESSED = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"\x28\xb5\x2f\xfd": "zstandard",
}
REGULAR = (b"0", b"\0", b"7")
LONGEST = 2**20
"""Bytes of an extended header or a long name that are read."""

Read = Callable[[int, int], bytes]
"""So many bytes from an offset of the file; fewer at its end."""


class ShardError(DataError):
    """A shard that cannot be read; the message names it and says what to do."""


@dataclass(frozen=True)
class Member:
    """A regular file in an archive."""

    name: bytes
    start: int
    """Offset of its contents."""
    size: int


def members(read: Read, size: int, shard: str) -> Iterator[Member]:
    """The regular files of an archive of `size` bytes, in order. Raises ShardError."""
    _refuse_compressed(read(0, 8), shard)
    place, pax, long_name = 0, {}, b""
    while header := _header(read, place, size, shard):
        kind, start = header[156:157], place + BLOCK
        length = _number(header[124:136], shard, place)
        if kind in b"xXgLK":
            if length > LONGEST:
                raise _no_tar(shard, place)
            if start + length > size:
                raise _truncated(shard, start + length, size)
            if kind in b"xX":
                pax = _pax(read(start, length), shard)
            elif kind == b"L":
                long_name = read(start, length).rstrip(b"\0")
            place = start + _whole_blocks(length)
            continue
        if kind == b"S" or any(key.startswith(b"GNU.sparse") for key in pax):
            raise ShardError(f"{shard} holds sparse files, which have holes; write it without them")
        length = int(pax.get(b"size", length)) if kind not in b"123456" else 0
        if start + length > size:
            raise _truncated(shard, start + length, size)
        if kind in REGULAR:
            yield Member(pax.get(b"path") or long_name or _name(header), start, length)
        place, pax, long_name = start + _whole_blocks(length), {}, b""


def size_in(header: bytes) -> int | None:
    """The size that a header block gives its member, or None if it is no header."""
    try:
        return _number(header[124:136], "", 0)
    except ShardError:
        return None


def _header(read: Read, place: int, size: int, shard: str) -> bytes:
    """The header at a place, or nothing at the end of the archive, which is a block of zeros."""
    header = read(place, BLOCK)
    if len(header) < BLOCK:
        raise _truncated(shard, place + 2 * BLOCK, size)
    if header.count(0) == BLOCK:
        return b""
    # Its checksum is the sum of its bytes, with spaces in place of the checksum itself; the lower
    # half of an Adler-32 is this sum plus 1, modulo 65521.
    sums = zlib.adler32(header[:148] + b" " * 8 + header[156:])
    if sums % 2**16 != (_number(header[148:156], shard, place) + 1) % 65521:
        raise _no_tar(shard, place)
    return header


def _number(field: bytes, shard: str, place: int) -> int:
    """Octal digits, or base 256 where the first bit is set."""
    try:
        if field[0] & 0x80:
            value = int.from_bytes(bytes([field[0] & 0x7F]) + field[1:])
        else:
            value = int(field.split(b"\0", 1)[0].strip() or b"0", 8)
    except (ValueError, IndexError):
        value = -1
    if not 0 <= value < 2**63:
        raise _no_tar(shard, place)
    return value


def _pax(data: bytes, shard: str) -> dict[bytes, bytes]:
    """Records `LENGTH KEY=VALUE\\n` of an extended header."""
    records = {}
    while data.strip(b"\0"):
        length, _, _ = data.partition(b" ")
        end = _digits(length) or 0
        key, equals, value = data[len(length) + 1 : max(end - 1, 0)].partition(b"=")
        if not equals or end > len(data):
            raise ShardError(f"{shard} has a damaged extended header; copy or write it again")
        if key == b"size" and _digits(value) is None:
            raise ShardError(f"{shard} has a damaged extended header; copy or write it again")
        records[key] = value
        data = data[end:]
    return records


def _digits(value: bytes) -> int | None:
    return whole_number(value.decode("ascii", "replace"))


def _name(header: bytes) -> bytes:
    name, prefix = header[:100].split(b"\0", 1)[0], header[345:500].split(b"\0", 1)[0]
    is_posix = header[257:263] == b"ustar\0"
    return prefix + b"/" + name if prefix and is_posix else name


def _whole_blocks(length: int) -> int:
    return (length + BLOCK - 1) // BLOCK * BLOCK


def _truncated(shard: str, needed: int, size: int) -> ShardError:
    return ShardError(
        f"{shard} is cut off: it needs {needed} bytes or more and has {size}; copy or write it "
        "again, or leave it out"
    )


def _no_tar(shard: str, place: int) -> ShardError:
    return ShardError(
        f"{shard} is damaged or no tar file: there is no header at byte {place}; copy or write "
        "it again, or leave it out"
    )


def _refuse_compressed(start: bytes, shard: str) -> None:
    for magic, name in COMPRESSED.items():
        if start.startswith(magic):
            raise ShardError(
                f"{shard} is compressed ({name}), so nothing in it can be found without reading "
                "all of it; write it as a plain .tar"
            )
