"""A folder of pictures written as shards in the WebDataset format, tar files of about one size.

A picture is two members, `KEY.jpg`, the file's bytes as they are, and `KEY.json`, its path and the
name of its folder, which is its class where folders are classes. The key is the path below the
root without its extension; WebDataset ends a key at the first dot of the base name, so dots there
become `%2E`, and a second picture of the same key (`a.jpg`, `a.png`) gets its own extension too.

Pictures are shuffled by a seed: `webdataset` reads shards from their beginning, and neighbours in a
folder are alike. The order is a function of names, sizes and seed, and times and owners are left
out, so the bytes are the same on every machine, in one go or after any number of interruptions.
"""

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path
from stat import S_ISREG

import numpy as np

from stellar.config import check_seed
from stellar.data.folder import ImageFolder, printable
from stellar.data.shards.index import open_index
from stellar.data.shards.ranges import LocalFiles
from stellar.errors import UserError
from stellar.storage import at_home, locked, make_folder, place_file, sweep, write_file

MANIFEST = "shards.json"
LEFT_OUT = "left-out.txt"
MEGABYTE = 10**6
LARGEST = 1_000_000
"""Megabytes of a shard."""
OVERHEAD = 4 * tarfile.BLOCKSIZE
"""Bytes of a picture's headers and of its .json file."""


class ShardingError(UserError):
    """Shards cannot be written as asked; the message says what to do."""


@dataclass(frozen=True)
class ShardingResult:
    """What `write_shards` did."""

    folder: Path
    num_shards: int
    num_images: int
    num_left_out: int
    """Files that could not be looked at; they are listed in left-out.txt."""


def write_shards(
    folder: Path | str,
    out: Path | str,
    shard_size: int = 256,
    seed: int = 0,
    progress: Callable[[int, int], object] = lambda _done, _total: None,
) -> ShardingResult:
    """Write every picture below `folder` into tar files of about `shard_size` MB in `out`, each
    with its index.

    A call that was killed goes on after its last finished shard when it is made again. `progress`
    is called with (pictures done, pictures in all). Raises DataError for a folder without pictures,
    ConfigError for what is no seed, and ShardingError when `out` holds other shards, or is being
    written.
    """
    if not (isinstance(shard_size, Integral) and 1 <= shard_size <= LARGEST):
        raise ShardingError(
            f"a shard holds at least 1 MB and at most {LARGEST:,}, got --shard-size {shard_size!r}"
        )
    check_seed(seed, "--seed")
    source, out = ImageFolder(at_home(folder)), Path(at_home(out))
    sizes = _sizes(source)
    order = np.random.default_rng(seed).permutation(np.flatnonzero(sizes >= 0))
    shards = _split(order, sizes, shard_size * MEGABYTE)
    repeated = _repeated(source)
    plan = {
        "pictures": len(order),
        "shards": len(shards),
        "shard_size": shard_size,
        "seed": seed,
        "files": hashlib.sha256(source.fingerprint().encode() + sizes.tobytes()).hexdigest(),
    }
    make_folder(out)
    _require_nothing_else(out)
    with _only_writer(out):
        _check_plan(out, plan)
        done = 0
        for number, indices in enumerate(shards):
            path = out / f"shard-{number:06}.tar"
            if not path.exists():
                place_file(path, lambda file, own=indices: _write(file, source, own, repeated))
            open_index(LocalFiles(), str(path), path.stat().st_size)
            progress(done := done + len(indices), len(order))
        left_out = [f"{source.name(int(index))}\n" for index in np.flatnonzero(sizes < 0)]
        if left_out:
            write_file(out / LEFT_OUT, "".join(left_out))
    return ShardingResult(out, len(shards), len(order), len(left_out))


def key_of(path: bytes) -> bytes:
    """The path without its extension, as a key: another for every path without its extension."""
    folder, slash, base = path.rpartition(b"/")
    stem = base.rpartition(b".")[0].replace(b"%", b"%25").replace(b".", b"%2E")
    return folder + slash + stem


def _sizes(source: ImageFolder) -> np.ndarray:
    """Bytes of each file; -1 for those that cannot be read, as links to nothing, and pipes."""
    sizes = np.empty(len(source), np.int64)
    for index in range(len(source)):
        try:
            status = source.path(index).stat()
            sizes[index] = status.st_size if S_ISREG(status.st_mode) else -1
        except OSError:
            sizes[index] = -1
    return sizes


def _split(order: np.ndarray, sizes: np.ndarray, shard_size: int) -> list[np.ndarray]:
    """The order, cut where a shard has its size."""
    ends = np.cumsum(sizes[order] + OVERHEAD)
    cuts = np.flatnonzero(np.diff((ends - 1) // shard_size)) + 1
    return np.split(order, cuts) if len(order) else []


def _repeated(source: ImageFolder) -> np.ndarray:
    """Whether a picture before has the same key."""
    hashes = [
        int.from_bytes(hashlib.blake2b(key_of(source.relative(index)), digest_size=8).digest())
        for index in range(len(source))
    ]
    repeated = np.ones(len(source), bool)
    repeated[np.unique(np.array(hashes, np.uint64), return_index=True)[1]] = False
    return repeated


def _write(file: Path, source: ImageFolder, indices: np.ndarray, repeated: np.ndarray) -> None:
    with tarfile.open(file, "w", format=tarfile.PAX_FORMAT, errors="surrogateescape") as tar:
        for index in indices.tolist():
            path = source.relative(index)
            suffix = path.rpartition(b".")[2]
            key = key_of(path) + (b"%" + suffix if repeated[index] else b"")
            try:
                content = source.path(index).read_bytes()
            except OSError as error:
                raise ShardingError(
                    f"{source.path(index)} cannot be read ({error.strerror}); make it readable or "
                    "move it away, and make the same call again"
                ) from error
            name = source.name(index)
            facts = {"path": name, "class": name.rpartition("/")[0].rpartition("/")[2]}
            _add(tar, key + b"." + suffix.lower(), content)
            _add(tar, key + b".json", json.dumps(facts).encode())


def _add(tar: tarfile.TarFile, name: bytes, content: bytes) -> None:
    """A member without times and owners."""
    member = tarfile.TarInfo(os.fsdecode(name))
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))


@contextmanager
def _only_writer(out: Path) -> Iterator[None]:
    """Hold the folder's lock, and remove what a killed call left half-written."""
    try:
        lock = locked(out / ".lock")
    except BlockingIOError:
        raise ShardingError(f"{out} is being written by another process") from None
    with lock:
        sweep(out / "*.tar*")
        yield


def _require_nothing_else(out: Path) -> None:
    """Raises ShardingError for a folder of something else, as of the pictures themselves."""
    others = sorted(file.name for file in out.iterdir() if not file.name.startswith("."))
    if others and MANIFEST not in others:
        raise ShardingError(
            f"{out} holds something else, as {printable(os.fsencode(others[0]))}; choose another "
            "--out"
        )


def _check_plan(out: Path, plan: dict[str, object]) -> None:
    """Start shards of this plan, or go on with them."""
    path, text = out / MANIFEST, json.dumps(plan, indent=1) + "\n"
    if path.exists():
        if path.read_text("utf-8") != text:
            raise ShardingError(
                f"{out} holds shards of other pictures, or of another size or seed; "
                "remove it, or choose another --out"
            )
    else:
        write_file(path, text)
