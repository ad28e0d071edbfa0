"""Indices of shards: the pictures that samples have, found in headers alone."""

import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

from stellar.data.indexfile import Texts
from stellar.data.shards.index import index_pictures, split_name
from stellar.data.shards.tar import BLOCK

WriteTar = Callable[..., Path]


def test_contents_are_passed_over(tmp_path: Path) -> None:
    """Reading the index of large members reads their headers alone."""
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as tar:
        for number in range(20):
            member = tarfile.TarInfo(f"{number}.jpg")
            member.size = 100_000
            tar.addfile(member, io.BytesIO(bytes(member.size)))
    lengths = []
    with path.open("rb") as file:

        def read(start: int, length: int) -> bytes:
            lengths.append(length)
            return os.pread(file.fileno(), length, start)

        arrays, seal = index_pictures(read, path.stat().st_size, "a.tar")
    assert sum(lengths) == 8 + (20 + 1 + 1) * BLOCK
    assert len(arrays["blocks"]) == 20
    assert seal["size"] == str(path.stat().st_size)


def test_the_first_picture_of_a_sample(tmp_path: Path, write_tar: WriteTar) -> None:
    names = ["a.json", "a.seg.png", "a.jpg", "a.png", "b.c.jpg", "x.y/d.JPEG", ".h.jpg", "e", "f."]
    data = write_tar(tmp_path / "a.tar", dict.fromkeys(names, b"content")).read_bytes()
    arrays, _ = index_pictures(lambda start, size: data[start : start + size], len(data), "a.tar")
    assert list(Texts(arrays["names"], arrays["offsets"])) == [b"a.jpg", b"x.y/d.JPEG"]
    assert split_name(b"x.y/a.Seg.PNG") == (b"x.y/a", b".seg.png")
