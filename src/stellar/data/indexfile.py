"""Indices of large data: arrays in a sealed file that is found again, or made again.

An index is never the truth, only a faster way to it. A file that is missing, damaged, of another
version or of other data is no index, and one that cannot be written is done without.
"""

import hashlib
import json
import os
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from stellar.json_text import parse_json
from stellar.storage import write_file

Arrays = dict[str, np.ndarray]
VERSION = "1"
"""Of what the arrays mean; indices of another one are made again."""


@dataclass(frozen=True)
class Texts:
    """Texts in two arrays: a million of them are no million objects."""

    data: np.ndarray
    """The bytes of all, one after the other."""
    offsets: np.ndarray
    """Where each begins, and the end of the last."""

    @classmethod
    def of(cls, texts: Sequence[bytes]) -> "Texts":
        """In the same order."""
        data = np.frombuffer(bytearray(b"".join(texts)), np.uint8)
        return cls(data, np.cumsum([0, *map(len, texts)]))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, index: int) -> bytes:
        return self.data[self.offsets[index] : self.offsets[index + 1]].tobytes()

    def __iter__(self) -> Iterator[bytes]:
        data, offsets = self.data.tobytes(), self.offsets.tolist()
        return (data[a:b] for a, b in pairwise(offsets))


def cached(key: str, suffix: str) -> Path:
    """The file in the user's cache (`$XDG_CACHE_HOME`, else ~/.cache) that belongs to a path or
    address.
    """
    root = os.environ.get("XDG_CACHE_HOME") or str(Path("~/.cache").expanduser())
    name = hashlib.sha256(os.fsencode(key)).hexdigest()[:32]
    return Path(root) / "stellar" / f"{name}{suffix}"


def write_index(path: Path, arrays: Arrays, seal: Mapping[str, str]) -> bool:
    """Keep an index, with what tells that it belongs to its data; False where it cannot be
    written.
    """
    whole = {**seal, "version": VERSION, "checksum": _checksum(arrays)}
    # In one entry, since entries have no order, and the same index is to have the same bytes.
    metadata = {"seal": json.dumps(whole, sort_keys=True)}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_file(path, save(arrays, metadata))
    except OSError:
        return False
    return True


def read_index(path: Path) -> tuple[Arrays, dict[str, str]] | None:
    """The arrays and the seal of an index, or None where there is none that is whole."""
    try:
        with safe_open(path, "np") as file:
            seal = parse_json((file.metadata() or {})["seal"])
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError, KeyError, ValueError):
        return None
    if not isinstance(seal, dict) or seal.pop("version", "") != VERSION:
        return None
    if seal.pop("checksum", "") != _checksum(arrays):
        return None
    return arrays, seal


def _checksum(arrays: Arrays) -> str:
    checksum = 0
    for name in sorted(arrays):
        checksum = zlib.crc32(np.ascontiguousarray(arrays[name]).data, checksum)
    return f"{checksum:08x}"
