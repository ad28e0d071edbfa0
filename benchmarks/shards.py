"""How fast pictures come out of shards in random order, how fast shards are indexed, and how fast
a large folder starts.

    python benchmarks/shards.py

The plain ways: the same files lying loose in folders, read in the same order; Python's tarfile,
which also reads headers alone; listing all folders. With webdataset installed, its sequential
reading of the same shards is shown as well, without a ratio, since it does less: it cannot give any
picture at once. Files are in the page cache, so this is the work of the processor; bytes are read
and not decoded. All sides take turns; medians.
"""

import argparse
import os
import random
import tarfile
import tempfile
import warnings
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import torch

from stellar.data import ImageFolder, Shards, folderindex
from stellar.data.folder import EXTENSIONS
from stellar.data.shards.index import index_pictures
from stellar.data.shards.ranges import LocalFiles
from stellar.data.shards.writing import write_shards
from table import Row, medians, print_rows

NUM_FILES = 4000
NUM_EMPTY = 100_000


def write_files(folder: Path, count: int, size: int) -> None:
    """Files of about `size` bytes in folders of two hundred."""
    rng = random.Random(0)
    for number in range(count):
        path = folder / f"n{number // 200:04}" / f"n{number // 200:04}_{number:07}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(rng.randbytes(rng.randint(size // 2, 3 * size // 2)))


def reading(folder: Path, rounds: int) -> Iterator[Row]:
    """Contents in random order, from shards and from loose files."""
    write_files(folder / "files", NUM_FILES, 30_000)
    write_shards(folder / "files", folder / "shards", shard_size=8)
    files, shards = ImageFolder(folder / "files"), Shards(folder / "shards")
    order = torch.randperm(NUM_FILES, generator=torch.Generator().manual_seed(0)).tolist()
    seconds = medians(
        {
            "shards": lambda: [shards.content(index) for index in order],
            "files": lambda: [files.path(index).read_bytes() for index in order],
        },
        rounds,
    )
    yield Row(
        "random reads from shards", "files/s", NUM_FILES / seconds["shards"],
        NUM_FILES / seconds["files"], target=1, note=f"plain: loose files{sequential(folder)}",
    )  # fmt: skip


def sequential(folder: Path) -> str:
    """What webdataset reads a second, one shard after the other, in words."""
    if find_spec("webdataset") is None:
        return ""
    from webdataset.compat import WebDataset

    urls = sorted(map(str, (folder / "shards").glob("*.tar")))
    with warnings.catch_warnings(action="ignore"):
        seconds = medians(
            {"webdataset": lambda: sum(1 for _ in WebDataset(urls, shardshuffle=False))}, 3
        )
    return f"; webdataset, in order of the shards: {NUM_FILES / seconds['webdataset']:.0f}/s"


def indexing(folder: Path, rounds: int) -> Iterator[Row]:
    """Headers of shards that have no index; needs the shards of `reading`."""
    paths = sorted((folder / "shards").glob("*.tar"))

    def ours() -> None:
        for path in paths:
            with LocalFiles().reader(str(path)) as read:
                index_pictures(read, path.stat().st_size, str(path))

    def plain() -> None:
        for path in paths:
            with tarfile.open(path, "r:") as tar:
                _ = [(member.name, member.offset_data, member.size) for member in tar]

    seconds = medians({"ours": ours, "plain": plain}, rounds)
    number = 2 * NUM_FILES
    yield Row(
        "index of shards", "members/s", number / seconds["ours"], number / seconds["plain"],
        target=2, note="plain: Python's tarfile",
    )  # fmt: skip


def starting(folder: Path, rounds: int) -> Iterator[Row]:
    """The second start on a large folder."""
    write_files(folder / "empty", NUM_EMPTY, 0)
    folderindex.SETTLED = 0.0
    root = str(folder / "empty")
    seconds = medians(
        {
            "ours": lambda: ImageFolder(root),
            "plain": lambda: sorted(map(os.fsencode, folderindex.walk(root, EXTENSIONS))),
        },
        rounds,
    )
    yield Row(
        f"start on a folder of {NUM_EMPTY:,} files", "s", seconds["ours"], seconds["plain"],
        target=10, smaller_is_better=True, note="plain: listing it, on a local disk",
    )  # fmt: skip


def rows(rounds: int = 5) -> Iterator[Row]:
    """Reading, indexing, starting; files and caches lie in a temporary folder."""
    with tempfile.TemporaryDirectory() as name:
        before = os.environ.get("XDG_CACHE_HOME")
        os.environ["XDG_CACHE_HOME"] = f"{name}/cache"
        try:
            for measure in (reading, indexing, starting):
                yield from measure(Path(name), rounds)
        finally:
            os.environ.pop("XDG_CACHE_HOME")
            if before is not None:
                os.environ["XDG_CACHE_HOME"] = before


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=5, help="of each side (default: 5)")
    torch.set_num_threads(1)
    print_rows("Shards", rows(parser.parse_args().rounds))
