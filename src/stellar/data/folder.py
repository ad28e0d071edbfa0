"""A folder of pictures as a source of images: recursive, flat or nested, in sorted order.

The paths are held in two tensors rather than a list of strings: loader workers share their memory,
forked or spawned, so a million paths do not grow with the number of workers.
"""

import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import torch

from stellar.errors import UserError
from stellar.images import Pixels, UnreadableImage, read_image

EXTENSIONS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif")
"""Names, in any case, that count as pictures."""


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


class ImageFiles:
    """Picture files below `root`, read with the `channels` of a model."""

    def __init__(self, root: Path, paths: Sequence[bytes], channels: int = 3) -> None:
        self.root, self.channels = root, channels
        lengths = np.array([0, *(len(path) for path in paths)])
        self._offsets = torch.from_numpy(np.cumsum(lengths))
        self._bytes = torch.frombuffer(bytearray(b"".join(paths)), dtype=torch.uint8)

    def __len__(self) -> int:
        return len(self._offsets) - 1

    def read(self, index: int) -> Pixels:
        return read_image(self.path(index), self.channels)

    def name(self, index: int) -> str:
        """The path below the root, with forward slashes; bytes that are no UTF-8 become escapes."""
        return printable(self._path(index)).replace(os.sep, "/")

    def fingerprint(self) -> str:
        """SHA-256 of all paths in their order, in hexadecimal."""
        digest = hashlib.sha256(memoryview(self._offsets.numpy()))
        digest.update(memoryview(self._bytes.numpy()))
        return digest.hexdigest()

    def path(self, index: int) -> Path:
        """The file."""
        return self.root / os.fsdecode(self._path(index))

    def _path(self, index: int) -> bytes:
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
        if not root.is_dir():
            problem = "is not a folder" if root.exists() else "does not exist"
            raise DataError(f"expected a folder of pictures, but {root} {problem}")
        paths = sorted(os.fsencode(path) for path in walk(str(root), extensions))
        if not paths:
            expected = ", ".join(extension[1:] for extension in extensions)
            raise DataError(f"no pictures ({expected}) in {root} or its subfolders")
        super().__init__(root, paths, channels)


def extensions_of(channels: int) -> tuple[str, ...]:
    """Names that count as pictures for a model of so many channels."""
    return EXTENSIONS if channels == 3 else (*EXTENSIONS, ".npy")


def printable(path: bytes) -> str:
    """A path as text; bytes that are no UTF-8 become escapes."""
    return path.decode("utf-8", "backslashreplace")


def walk(root: str, extensions: tuple[str, ...]) -> Iterator[str]:
    """Paths, relative to the root, of the pictures below it; each folder is visited once."""
    pending, visited = [""], set()
    while pending:
        folder = pending.pop()
        identity = os.path.realpath(os.path.join(root, folder))  # noqa: PTH118
        if identity in visited:
            continue
        visited.add(identity)
        with os.scandir(identity) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                path = f"{folder}{os.sep}{entry.name}" if folder else entry.name
                if entry.is_dir():
                    pending.append(path)
                elif entry.name.lower().endswith(extensions):
                    yield path


def evenly_spread(source: ImageSource, count: int) -> list[int]:
    """Indices of so many pictures from the first to the last, or of all where there are fewer."""
    places = torch.linspace(0, len(source) - 1, min(count, len(source)))
    return places.round().long().tolist()


def check_readable(source: ImageSource, sample: int = 512) -> list[tuple[str, str]]:
    """Read up to `sample` images, evenly spread: name and reason of those that cannot be read.

    DataError if they are more than half.
    """
    chosen = np.unique(
        np.linspace(0, len(source) - 1, min(sample, len(source))).round().astype(int)
    )
    unreadable = []
    for index in chosen.tolist():
        try:
            source.read(index)
        except UnreadableImage as error:
            unreadable.append((source.name(index), error.reason))
    if len(unreadable) > len(chosen) / 2:
        name, reason = unreadable[0]
        raise DataError(
            f"{len(unreadable)} of {len(chosen)} images looked at cannot be read, more than half; "
            f"the first is {name} ({reason})"
        )
    return unreadable
