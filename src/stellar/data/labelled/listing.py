"""What lies in a data set, before any picture is read: paths by split, and which are held out."""

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from stellar.data.folder import printable

TRAIN = "train"
HELD_OUT = ("val", "validation", "test")
"""Names of the test set; the first that is there is taken, since many a test/ has no labels."""

LabelsOf = dict[bytes, tuple[str, ...]]
"""The classes of each path, which is relative to the root."""


def held_out_name(names: Iterable[str]) -> str | None:
    """The one of these splits that is the test set."""
    return next((name for name in HELD_OUT if name in names), None)


def by_hash(paths: Iterable[bytes]) -> list[bytes]:
    """In the order of their SHA-256: the same on every machine, and related to nothing."""
    return sorted(paths, key=lambda path: hashlib.sha256(path).digest())


def fifth(count: int) -> int:
    """How many of so many pictures are set aside for the test."""
    return max(1, round(count / 5))


def subfolders(folder: Path) -> set[str]:
    """Names of the folders in a folder, hidden ones left out; none where it is no folder."""
    if not folder.is_dir():
        return set()
    return {path.name for path in folder.iterdir() if path.is_dir() and path.name[0] != "."}


def that_holds(name: str, *folders: Path) -> Path | None:
    """The first of these folders in which there is a folder of this name."""
    return next((folder for folder in folders if (folder / name).is_dir()), None)


def some(names: Iterable[str]) -> str:
    """The first names, and how many more there are."""
    names = sorted(names)
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(printable(os.fsencode(name)) for name in names[:5]) + more
