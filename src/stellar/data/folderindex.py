"""Which pictures lie in a folder: listed, or remembered.

The listing of a large folder is kept in the user's cache. It is right as long as every folder in it
has the time stamps that it had: names that come or go change those of the folder that they are in.
So a start looks at folders instead of files, and lists nothing.
"""

import logging
import os
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from stellar.data.indexfile import Texts, cached, read_index, write_index

LARGE = 10_000
"""Pictures of a folder whose listing is kept; smaller ones are listed at once."""
SETTLED = 2.0
"""Seconds after which a change of a folder shows in its time stamp for certain."""

Stamps = dict[bytes, tuple[int, ...]]
"""Of every folder: when its entries changed, when it changed, and its number on the disk; empty
where it cannot be read.
"""
logger = logging.getLogger(__name__)


def pictures_below(root: Path, extensions: tuple[str, ...]) -> Texts:
    """Paths, relative to the root, of the pictures below it, in sorted order."""
    place = cached(f"{root.resolve()} {extensions}", ".folder")
    remembered = _recall(place)
    if remembered is not None:
        return remembered
    stamps, before = {}, time.time() - SETTLED
    paths = Texts.of(sorted(os.fsencode(path) for path in walk(str(root), extensions, stamps)))
    settled = all(stamps.values()) and all(
        max(stamp[:2]) < before * 1e9 for stamp in stamps.values()
    )
    if len(paths) >= LARGE and settled:
        _remember(place, paths, stamps)
    return paths


def _remember(place: Path, paths: Texts, stamps: Stamps) -> None:
    folders, times = Texts.of(list(stamps)), np.array(list(stamps.values()), np.int64)
    arrays = {
        "paths": paths.data,
        "offsets": paths.offsets,
        "folders": folders.data,
        "folder_offsets": folders.offsets,
        "stamps": times,
    }
    write_index(place, arrays, {})


def _recall(place: Path) -> Texts | None:
    """The listing that is kept, or None where there is none or a folder has changed."""
    found = read_index(place)
    if found is None:
        return None
    arrays, _ = found
    folders = Texts(arrays["folders"], arrays["folder_offsets"])
    for folder, stamp in zip(folders, arrays["stamps"].tolist(), strict=True):
        if _stamp(folder) != tuple(stamp):
            return None
    return Texts(arrays["paths"], arrays["offsets"])


def _stamp(folder: bytes) -> tuple[int, int, int] | None:
    try:
        status = os.stat(folder)  # noqa: PTH116
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ctime_ns, status.st_ino % 2**63


def walk(root: str, extensions: tuple[str, ...], stamps: Stamps | None = None) -> Iterator[str]:
    """Paths, relative to the root, of the pictures below it. Each folder is visited once, and its
    stamp of before is noted; an empty one of those that cannot be entered, which are told of.
    Raises OSError when the root is one of them.
    """
    pending, visited = [""], {} if stamps is None else stamps
    while pending:
        folder = pending.pop()
        identity = os.path.realpath(os.path.join(root, folder))  # noqa: PTH118
        if (key := os.fsencode(identity)) in visited:
            continue
        visited[key] = _stamp(key) or (0, 0, 0)
        try:
            opened = os.scandir(identity)
        except OSError as error:
            if not folder:
                raise
            visited[key] = ()
            logger.warning("%s cannot be read (%s): left out", identity, error.strerror)
            continue
        with opened as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                path = f"{folder}{os.sep}{entry.name}" if folder else entry.name
                if _is_folder(entry):
                    pending.append(path)
                elif entry.name.lower().endswith(extensions):
                    yield path


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether an entry, or what it links to, is a folder; links in a circle are none."""
    try:
        return entry.is_dir()
    except OSError:
        return False
