"""A folder of pictures as a source of images: recursive, flat or nested, in sorted order.

The paths are held in two tensors rather than a list of strings: loader workers share their memory,
forked or spawned, so a million paths do not grow with the number of workers.
"""

import hashlib
import os
import re
from collections.abc import Sequence, Sized
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISREG
from typing import Protocol, runtime_checkable

import numpy as np
import torch

from stellar.data.folderindex import pictures_below
from stellar.data.indexfile import Texts
from stellar.errors import UserError
from stellar.images import Pixels, is_of_the_machine, read_image
from stellar.storage import reason_of, unreadable

EXTENSIONS = (
    ".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif",
)  # fmt: skip
"""Names, in any case, that count as pictures."""

LOOKED_AT, BEGINNING = 512, 65_536
"""Files of a folder, and bytes of each, by which changed files are noticed."""


class DataError(UserError):
    """Data that a run cannot be made with; the message says what is wrong and what to do."""


@runtime_checkable
class ImageSource(Protocol):
    """What views can be made of: a folder of pictures, or the embedded scenes."""

    channels: int
    """Of every picture."""

    def __len__(self) -> int: ...

    def read(self, index: int) -> Pixels: ...

    def name(self, index: int) -> str: ...


@dataclass(frozen=True)
class Stamp:
    """By what it is noticed that a picture was changed, as rsync does."""

    size: int
    """Bytes of its file."""
    modified: int | None
    """When that was changed last, in nanoseconds since 1970; None where nothing says so."""

    @classmethod
    def of(cls, status: os.stat_result) -> "Stamp":
        """Of a file; a time after the year 2262 has no room in 64 bits."""
        return cls(status.st_size, min(status.st_mtime_ns, 2**63 - 1))


@runtime_checkable
class Listed(ImageSource, Protocol):
    """A source whose images have names that it was given."""

    def fingerprint(self) -> str:
        """Tells other pictures, or the same ones in another order, apart, as far as names and some
        looks at the files can.
        """
        ...


class Stamped(Listed, Protocol):
    """A source whose images are files, or parts of files."""

    def stamp(self, index: int) -> Stamp | None:
        """None where the file is not there any more."""
        ...


class ImageFiles:
    """Picture files below `root`, read with the `channels` of a model."""

    def __init__(self, root: Path, paths: Sequence[bytes] | Texts, channels: int = 3) -> None:
        self.root, self.channels = root, channels
        texts = paths if isinstance(paths, Texts) else Texts.of(paths)
        self._offsets, self._bytes = torch.from_numpy(texts.offsets), torch.from_numpy(texts.data)

    def __len__(self) -> int:
        return len(self._offsets) - 1

    def read(self, index: int) -> Pixels:
        return read_image(self.path(index), self.channels)

    def name(self, index: int) -> str:
        """The path below the root, with forward slashes; bytes that are no UTF-8 become escapes."""
        return printable(self.relative(index)).replace(os.sep, "/")

    def names(self) -> str:
        """All of them, in their order, each with NUL behind it, which no path holds."""
        separated = np.insert(self._bytes.numpy(), self._offsets[1:].numpy(), 0)
        return printable(separated.tobytes()).replace(os.sep, "/")

    def path(self, index: int) -> Path:
        """The file."""
        return self.root / os.fsdecode(self.relative(index))

    def stamp(self, index: int) -> Stamp | None:
        """Of the file, or of what a link leads to."""
        return stamp_of(self.path(index))

    def fingerprint(self) -> str:
        """Tells other files, or the same ones in another order, apart: by all of their names, and
        by size and beginning of up to LOOKED_AT of them.
        """
        digest = hashlib.sha256(self._offsets.numpy().data)
        digest.update(self._bytes.numpy().data)
        for index in evenly_spread(self, LOOKED_AT):
            digest.update(_size_and_beginning(self.path(index)))
        return digest.hexdigest()

    def relative(self, index: int) -> bytes:
        """The path below the root, as the disk has it."""
        if not 0 <= index < len(self):
            raise IndexError(f"image {index} of a folder of {len(self)}")
        start, end = self._offsets[index : index + 2].tolist()
        return self._bytes[start:end].numpy().tobytes()


class ImageFolder(ImageFiles):
    """All pictures below `root`, sorted by path; hidden names are left out, links are followed.

    .npy files count where a model's `channels` are not RGB.
    """

    def __init__(self, root: Path | str, channels: int = 3) -> None:
        root, extensions = Path(root), extensions_of(channels)
        try:
            if not root.is_dir():
                problem = "is not a folder" if root.exists() else "does not exist"
                raise DataError(f"expected a folder of pictures, but {root} {problem}")
            paths = pictures_below(root, extensions)
        except OSError as error:
            raise DataError(unreadable(error.filename or root, reason_of(error))) from error
        if len(paths) == 0:
            expected = ", ".join(extension[1:] for extension in extensions)
            raise DataError(f"no pictures ({expected}) in {root} or its subfolders")
        super().__init__(root, paths, channels)


def stamp_of(path: Path) -> Stamp | None:
    """None for a file that is not there."""
    try:
        return Stamp.of(path.stat())
    except OSError:
        return None


def combined(*fingerprints: str) -> str:
    """One fingerprint of several: of pictures, and of what belongs to them."""
    return hashlib.sha256("".join(fingerprints).encode()).hexdigest()


def _size_and_beginning(path: Path) -> bytes:
    """Empty for what cannot be read."""
    try:
        status = path.stat()
        if not S_ISREG(status.st_mode):
            return b""
        with path.open("rb") as file:
            return status.st_size.to_bytes(8) + file.read(BEGINNING)
    except OSError as error:
        if is_of_the_machine(error):
            raise
        return b""


def extensions_of(channels: int) -> tuple[str, ...]:
    """Names that count as pictures for a model of so many channels."""
    return EXTENSIONS if channels == 3 else (*EXTENSIONS, ".npy")


def printable(path: bytes) -> str:
    """A path as text; bytes that are no UTF-8 become escapes."""
    return path.decode("utf-8", "backslashreplace")


def unescaped(name: str) -> str:
    """The path that `printable` made this text of, where bytes in it were no UTF-8: as Python names
    such a file.
    """
    escape = rb"\\x([89a-f][0-9a-f])"
    return os.fsdecode(
        re.sub(escape, lambda found: bytes.fromhex(found[1].decode()), name.encode())
    )


def evenly_spread(source: Sized, count: int) -> list[int]:
    """Indices of so many pictures from the first to the last, or of all where there are fewer."""
    last, count = len(source) - 1, min(count, len(source))
    # From 2^24 pictures on, single precision does not tell neighbours apart.
    return torch.linspace(0, last, count, dtype=torch.float64).round().long().tolist()
