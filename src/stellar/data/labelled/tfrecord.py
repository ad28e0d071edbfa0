"""TFRecord files and the tf.train.Example in each record, read in place and only as far as asked.

A record is its length (8 bytes), a checksum of that (4), the data, and a checksum of the data (4);
numbers are little-endian. Checksums are not looked at: a record that is cut off shows by its
length. An Example is a protocol buffer: a map of names to lists of bytes, floats or whole numbers.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from stellar.data.folder import DataError

_LENGTH, _CHECKSUM = 8, 4
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
"""Kinds of fields, as a protocol buffer numbers them."""
_BYTES_LIST, _INTEGER_LIST = 1, 3
"""Fields of a Feature; 2, a list of floats, is never asked for."""

Values = list[memoryview] | list[int]


def records_in(path: Path) -> Iterator[tuple[int, int]]:
    """Where the data of each record begins, and its length. Raises DataError for a file that is
    cut off.
    """
    size, start = path.stat().st_size, 0
    with path.open("rb") as file:
        while start < size:
            file.seek(start)
            head = file.read(_LENGTH)
            length = int.from_bytes(head, "little")
            begin = start + _LENGTH + _CHECKSUM
            start = begin + length + _CHECKSUM
            if len(head) < _LENGTH or start > size:
                raise DataError(f"{path} is cut off, or no TFRecord file; download it again")
            yield begin, length


def features_of(example: memoryview, names: Sequence[str]) -> dict[str, Values]:
    """Those of these features that an Example has. Raises ValueError for what is none."""
    found = {}
    for _, features in _fields(example):
        for _, entry in _fields(_bytes(features)):
            name, feature = map(_bytes, dict(_fields(_bytes(entry))).values())
            if (text := str(name, "utf-8", "replace")) in names:
                found[text] = _values(feature)
    return found


def _values(feature: memoryview) -> Values:
    for number, values in _fields(feature):
        if number == _BYTES_LIST:
            return [_bytes(value) for _, value in _fields(_bytes(values))]
        if number == _INTEGER_LIST:
            return [each for _, packed in _fields(_bytes(values)) for each in _integers(packed)]
    return []


def _integers(packed: memoryview | int) -> Iterator[int]:
    """One number, or several without fields of their own."""
    if isinstance(packed, int):
        yield packed
        return
    place = 0
    while place < len(packed):
        value, place = _varint(packed, place)
        yield value


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview | int]]:
    """Number and content of each field of a message: bytes, or a whole number."""
    place = 0
    while place < len(message):
        key, place = _varint(message, place)
        kind = key & 7
        if kind == _VARINT:
            content, place = _varint(message, place)
        else:
            if kind == _BYTES:
                length, place = _varint(message, place)
            elif kind in (_FIXED32, _FIXED64):
                length = 4 if kind == _FIXED32 else 8
            else:
                raise ValueError(f"a protocol buffer has no fields of kind {kind}")
            content, place = message[place : place + length], place + length
            if place > len(message):
                raise ValueError("a field is longer than its message")
        yield key >> 3, content


def _varint(message: memoryview, place: int) -> tuple[int, int]:
    """A number of seven bits a byte, the lowest first, and the place behind it."""
    value = 0
    for shift in range(0, 70, 7):
        if place >= len(message):
            break
        byte = message[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
    raise ValueError("a number does not end")


def _bytes(content: memoryview | int) -> memoryview:
    if isinstance(content, int):
        raise ValueError("a number where bytes were expected")
    return content
