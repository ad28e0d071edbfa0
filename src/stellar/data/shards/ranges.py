"""Ranges of bytes of shards: in local files, or behind any address that fsspec reads.

Both kinds find files with their sizes, read ranges, and may be sent to other processes; a process
that was forked reads on without sharing anything that has a position.
"""

import glob
import os
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache, partial
from pathlib import Path
from stat import S_ISREG
from typing import Any
from urllib.parse import urlsplit

from stellar.data.folder import DataError, Stamp
from stellar.data.indexfile import cached
from stellar.data.shards.failures import as_os_errors, retried
from stellar.data.shards.tar import Read, ShardError
from stellar.errors import MissingPackage, first_line
from stellar.storage import is_address, write_file

OPEN_FILES = 128
"""Local shards that one process keeps open."""
AT_ONCE = 16
"""Requests that wait at the same time."""
NO_RANGES = (
    "gives whole files alone, not ranges of bytes; copy the shards to a local folder, or let a "
    "server have them that does"
)
SECRET = re.compile(r"(signature|token|sig|key|password)=", re.IGNORECASE)
INDEX = ".index"
"""After the name of a shard: its index."""


class _Opened:
    """A descriptor that is closed when nobody uses it any more."""

    def __init__(self, path: str) -> None:
        self.descriptor = -1
        self.descriptor = os.open(path, os.O_RDONLY)

    def __del__(self) -> None:
        if self.descriptor >= 0:
            os.close(self.descriptor)


class LocalFiles:
    """Shards on this machine, by their paths; `os.pread` needs no position of its own."""

    def __init__(self) -> None:
        self._open = lru_cache(OPEN_FILES)(_Opened)

    def __reduce__(self) -> tuple[type, tuple[()]]:
        return type(self), ()

    def find(self, patterns: Sequence[str]) -> dict[str, Stamp]:
        """Paths, sizes and times. Raises ShardError for one that is not there."""
        found = {}
        for pattern in patterns:
            escaped = glob.escape(pattern) if Path(pattern).exists() else pattern
            if Path(pattern).is_dir():
                escaped += "/*.tar"
            paths = sorted(glob.glob(escaped, recursive=True))  # noqa: PTH207
            for path in paths or [pattern]:
                try:
                    status = Path(path).stat()
                except OSError as error:
                    raise ShardError(
                        f"expected shards (.tar files) at {path}, but there are none"
                    ) from error
                if not S_ISREG(status.st_mode):
                    raise ShardError(f"expected shards (.tar files), but {path} is no regular file")
                found[path] = Stamp.of(status)
        return found

    def read(self, path: str, start: int, length: int) -> bytes:
        """The bytes that are there. Raises OSError."""
        # Held while it is read: another thread may have it dropped.
        opened = self._open(path)
        if hasattr(os, "pread"):
            return os.pread(opened.descriptor, length, start)
        with Path(path).open("rb") as file:  # Windows: a position of its own
            file.seek(start)
            return file.read(length)

    @contextmanager
    def reader(self, path: str) -> Iterator[Read]:
        """Reads one shard from its beginning, with jumps."""
        yield partial(self.read, path)

    def index_places(self, path: str) -> Iterator[Path]:
        """Where an index may be: beside its shard, or in the user's cache."""
        whole = Path(path).absolute()
        yield Path(f"{whole}{INDEX}")
        yield cached(str(whole), INDEX)


class RemoteFiles:
    """Shards behind an address. fsspec keeps a file system for each process, which is asked for
    anew at each use.
    """

    def __init__(self, address: str) -> None:
        _require_no_secret(address)
        self.address = address
        file_system(address)

    def find(self, patterns: Sequence[str]) -> dict[str, Stamp]:
        """Paths and sizes; of times each kind of storage speaks in its own way. Raises ShardError
        for one that is not there.
        """
        with ThreadPoolExecutor(AT_ONCE) as pool:
            parts = list(pool.map(self._find, patterns))
        return {path: Stamp(size, None) for part in parts for path, size in part.items()}

    def _find(self, pattern: str) -> dict[str, int]:
        system, path = file_system(pattern)
        try:
            with as_os_errors():
                if glob.has_magic(path):
                    found = system.glob(path, detail=True)
                elif path.endswith(".tar"):
                    found = {path: system.info(path)}
                else:
                    found = system.glob(f"{path.rstrip('/')}/*.tar", detail=True)
        except FileNotFoundError:
            found = {}
        except (OSError, ValueError) as error:
            raise ShardError(f"{pattern} cannot be read ({first_line(error)})") from error
        if not found:
            raise ShardError(f"expected shards (.tar files) at {pattern}, but there are none")
        sizes = {path: info.get("size") for path, info in sorted(found.items())}
        if None in sizes.values():
            raise ShardError(f"{pattern} does not say how large its shards are, so they cannot be "
                             "read by ranges; copy them to a local folder")  # fmt: skip
        return sizes

    def read(self, path: str, start: int, length: int) -> bytes:
        """The bytes that are there, tried a few times. Raises OSError."""
        data = self._fetch(path, start, start + length)
        if len(data) > length:
            raise ShardError(f"the server of {path} {NO_RANGES}")
        return data

    @contextmanager
    def reader(self, path: str) -> Iterator[Read]:
        """Reads one shard in a few large requests: thousands of small ones would take longer."""
        options = {"block_size": 2**23, "cache_type": "readahead"}
        with retried(lambda: self._system().open(path, "rb", **options)) as file:

            def read(start: int, length: int) -> bytes:
                try:
                    file.seek(start)
                    return retried(lambda: file.read(length))
                except ValueError as error:  # of fsspec, for http
                    raise ShardError(f"the server of {path} {NO_RANGES}") from error

            yield read

    def index_places(self, path: str) -> Iterator[Path]:
        """Where an index may be: in the user's cache, made here before, or fetched from beside its
        shard. Raises OSError where the server does not say whether it is there.
        """
        place = cached(f"{self.address} {path}", INDEX)
        yield place
        try:
            index = self._fetch(path + INDEX)
        except (FileNotFoundError, PermissionError):  # refused: where files may not be listed
            return
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            write_file(place, index)
        except OSError:
            return
        yield place

    def _fetch(self, path: str, start: int | None = None, end: int | None = None) -> bytes:
        """A file, or a part of it, tried a few times. Raises OSError."""
        return retried(lambda: self._system().cat_file(path, start=start, end=end))

    def _system(self) -> Any:
        return file_system(self.address)[0]


def _require_no_secret(address: str) -> None:
    """Raises ShardError for an address that would take a secret into folders, logs and cards."""
    parts = urlsplit(address)
    if parts.password or SECRET.search(parts.query):
        raise ShardError(
            f"the address {parts.scheme}://{parts.hostname}... carries a password or a signature, "
            "which the run's folder would keep; leave it out, and tell it to fsspec, by its "
            "configuration (~/.config/fsspec) or the store's environment variables"
        )


def file_system(address: str) -> tuple[Any, str]:
    """fsspec's file system of an address, and the path there. Raises MissingPackage, DataError."""
    from fsspec.core import url_to_fs

    try:
        return url_to_fs(address)
    except ImportError as error:
        raise MissingPackage(f"{address} cannot be read here: {error}") from error
    except ValueError as error:
        raise DataError(
            f"{address} is no address that fsspec reads ({error}); expected a folder, shards "
            "such as data/*.tar, or an address such as s3://bucket/{000000..000099}.tar"
        ) from error


def open_files(data: str) -> LocalFiles | RemoteFiles:
    """What reads the shards at a path, a pattern or an address."""
    return RemoteFiles(data) if is_address(data) else LocalFiles()
