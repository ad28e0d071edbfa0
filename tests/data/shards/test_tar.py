"""Headers of tar files: what Python's tarfile finds, at the places where it finds it; a sentence
for everything else.
"""

import gzip
import io
import os
import random
import tarfile

import pytest

from stellar.data.shards.tar import BLOCK, Member, ShardError, members

LONG = "folder/" * 40 + "picture.jpg"
NAMES = ["a.jpg", "a.json", "b/c.d.png", "ü/日本.jpg", "x" * 99 + ".jpg", "y" * 140 + ".jpg", LONG]
FORMATS = {
    "pax": tarfile.PAX_FORMAT,
    "gnu": tarfile.GNU_FORMAT,
    "ustar": tarfile.USTAR_FORMAT,
}


def archive(names: list[str], format: int = tarfile.PAX_FORMAT) -> bytes:
    """Members of different sizes, among folders and links."""
    file, rng = io.BytesIO(), random.Random(0)
    with tarfile.open(fileobj=file, mode="w", format=format) as tar:
        for number, name in enumerate(names):
            for kind in (tarfile.DIRTYPE, tarfile.SYMTYPE):
                other = tarfile.TarInfo(f"{number}-{kind.decode()}")
                other.type, other.linkname = kind, "k" * 90 + name
                if format != tarfile.USTAR_FORMAT:
                    tar.addfile(other)
            member = tarfile.TarInfo(name)
            member.size = rng.choice([0, 1, 511, 512, 513, 3000])
            member.mtime = 1.5 if format == tarfile.PAX_FORMAT else 1
            tar.addfile(member, io.BytesIO(rng.randbytes(member.size)))
    return file.getvalue()


def found(data: bytes) -> list[Member]:
    return list(members(lambda start, size: data[start : start + size], len(data), "a.tar"))


@pytest.mark.parametrize("format", FORMATS)
def test_agrees_with_tarfile(format: str) -> None:
    names = NAMES[:4] if format == "ustar" else NAMES
    data = archive(names, FORMATS[format])
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        expected = [
            Member(os.fsencode(member.name), member.offset_data, member.size)
            for member in tar
            if member.isreg()
        ]
    assert [member.name.decode() for member in expected] == names
    assert found(data) == expected


def test_ustar_prefixes_and_sizes_in_base_256() -> None:
    name = "folder/" * 20 + "picture.jpg"
    data = bytearray(archive([name], tarfile.USTAR_FORMAT))
    size = int(data[124:135], 8)
    assert found(bytes(data)) == [Member(name.encode(), BLOCK, size)]
    data[124:136] = b"\x80" + size.to_bytes(11)
    data[148:156] = b" " * 8
    data[148:156] = f"{sum(data[:BLOCK]):06o}\0 ".encode()
    assert found(bytes(data)) == [Member(name.encode(), BLOCK, size)]


def test_every_checksum_is_right_or_refused() -> None:
    """Also those that differ by what the fast sum is taken modulo."""
    member = tarfile.TarInfo("é" * 50)
    header = bytearray(member.tobuf(tarfile.GNU_FORMAT, "utf-8", "strict"))
    end = bytes(2 * BLOCK)
    stored = int(header[148:154], 8)
    assert len(found(bytes(header) + end)) == 1
    for wrong in (stored - 1, stored + 1, stored - 512):
        header[148:154] = f"{wrong:06o}".encode()
        with pytest.raises(ShardError, match="no header at byte 0"):
            found(bytes(header) + end)


def test_truncated_at_any_place_is_one_sentence() -> None:
    data = archive(NAMES)
    whole = found(data)
    end = whole[-1].start + (whole[-1].size + BLOCK - 1) // BLOCK * BLOCK
    assert found(data[: end + BLOCK]) == whole
    for length in [*range(0, end, 331), end]:
        with pytest.raises(ShardError, match=r"a\.tar is cut off.*copy or write it again") as error:
            found(data[:length])
        assert "\n" not in str(error.value)


def test_damaged_archives_are_found_or_refused() -> None:
    """Bytes changed at random: members or a sentence, and never more memory than there is data."""
    rng, data = random.Random(0), archive(NAMES)
    refused = 0
    for _ in range(400):
        damaged = bytearray(data)
        for _ in range(rng.randint(1, 30)):
            damaged[rng.randrange(len(data))] = rng.choice(
                [0, 48, 55, 128, 255, rng.randrange(256)]
            )
        try:
            found(bytes(damaged))
        except ShardError:
            refused += 1
    assert refused > 100
    for length in (0, 10, 512, 5000):
        with pytest.raises(ShardError):
            found(rng.randbytes(length))


def test_compressed_and_sparse_archives_are_refused() -> None:
    with pytest.raises(ShardError, match=r"compressed \(gzip\).* plain \.tar"):
        found(gzip.compress(archive(NAMES)))
    for headers in ({}, {"GNU.sparse.major": "1"}):
        member = tarfile.TarInfo("a.jpg")
        member.pax_headers = headers
        member.type = tarfile.REGTYPE if headers else tarfile.GNUTYPE_SPARSE
        data = member.tobuf() + bytes(2 * BLOCK)
        with pytest.raises(ShardError, match="sparse"):
            found(data)


def test_lies_about_lengths_are_refused() -> None:
    """A long name or an extended header of a gigabyte is not read."""
    for kind in (tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE):
        member = tarfile.TarInfo("a")
        member.type, member.size = kind, 2**30
        asked = []

        def read(start: int, length: int, header: bytes = member.tobuf(), asked=asked) -> bytes:
            asked.append(length)
            return header[start : start + length]

        with pytest.raises(ShardError):
            list(members(read, 2**31, "a.tar"))
        assert max(asked) == BLOCK


def test_numbers_of_thousands_of_digits_are_damage() -> None:
    many = b"9" * 5000
    for record in (many + b" size=1\n", b"5012 size=" + many[:5001] + b"\n"):
        member = tarfile.TarInfo("a")
        member.type, member.size = tarfile.XHDTYPE, len(record)
        padding = bytes(-len(record) % BLOCK + 2 * BLOCK)
        with pytest.raises(ShardError, match="damaged extended header"):
            found(member.tobuf() + record + padding)
