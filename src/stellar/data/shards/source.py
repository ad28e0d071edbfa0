"""Shards in the WebDataset format as a source of images: tar files, local or behind an address.

Any picture is read at once, in any order, by an index of offsets that is made from the headers of
each shard (`index.py`) and kept beside it. So shards go through the same sampler as folders, and
order, shares of ranks and workers, and resuming do not depend on where the pictures lie.
"""

import hashlib
import os
import re
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path

import numpy as np
import torch

from stellar.data.folder import EXTENSIONS, Stamp, extensions_of, printable
from stellar.data.indexfile import Arrays, Texts
from stellar.data.shards.index import arrays_of, open_index, split_name
from stellar.data.shards.ranges import AT_ONCE, open_files
from stellar.data.shards.tar import BLOCK, ShardError, size_in
from stellar.data.short_names import numbered, short_names
from stellar.errors import first_line
from stellar.images import Pixels, UnreadableImage, read_image

MOST_SHARDS = 1_000_000
"""That one pattern may stand for."""
ARRAY = b"\x93NUMPY"
"""Start of a .npy file."""


class Shards:
    """The first picture of each sample, read with the `channels` of a model, in the order of the
    shards.

    `shards` is a folder of .tar files, one file, or a pattern with `*`, `?`, `{00..99}` or
    `{a,b}`; each also as an address that fsspec reads. Raises ShardError for shards that are
    missing, cut off, damaged, sparse or compressed, and MissingPackage where an address needs one.
    """

    def __init__(self, shards: Path | str, channels: int = 3) -> None:
        self.shards, self.channels = (shards := os.fspath(shards)), channels
        self._files = open_files(shards)
        exists = Path(shards).exists()
        found = self._files.find([shards] if exists else expand_braces(shards))
        self._paths = list(found)
        self._short = short_names(self._paths)
        if self._paths[0].lower().endswith(EXTENSIONS):
            raise ShardError(f"expected shards (.tar files), but {shards} names pictures; name "
                             "the folder that they are in")  # fmt: skip
        self._stamps = list(found.values())
        blocks, sizes, digest = [], [], hashlib.sha256()
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for arrays in pool.map(self._index, range(len(found))):
                blocks.append(arrays["blocks"])
                sizes.append(arrays["sizes"])
                digest.update(arrays["names"].data)
                digest.update(arrays["sizes"].data)
        self._fingerprint = digest.hexdigest()
        self._ends = torch.from_numpy(np.cumsum([len(part) for part in blocks]))
        # Four bytes each: the places of a hundred million pictures take 0.8 GB. Tensors are shared
        # with workers, but those of uint32 cannot be pickled.
        self._blocks = torch.from_numpy(np.concatenate(blocks).view(np.int32))
        self._sizes = torch.from_numpy(np.concatenate(sizes).view(np.int32))
        self._named: tuple[int, list[str]] | None = None
        if len(self) == 0:
            raise ShardError(f"no pictures in the shards {shards}: expected members such as "
                             "KEY.jpg, where KEY has no dot")  # fmt: skip

    def __len__(self) -> int:
        return len(self._blocks)

    def read(self, index: int) -> Pixels:
        content = self.content(index)
        kind = "array.npy" if content.startswith(ARRAY) else "picture"
        try:
            return read_image(kind, self.channels, content)
        except UnreadableImage as error:
            raise UnreadableImage(self.name(index), error.reason) from error

    def content(self, index: int) -> bytes:
        """The bytes of a picture's file. Raises ShardError where they cannot be read any more."""
        shard, _ = self._place(index)
        path, start = self._paths[shard], int(self._blocks[index]) % 2**32 * BLOCK
        size = int(self._sizes[index]) % 2**32
        try:
            data = self._files.read(path, start - BLOCK, BLOCK + size)
        except OSError as error:
            raise ShardError(f"the shard {path} cannot be read ({first_line(error)})") from error
        # The header before a picture tells whether the index still belongs to the shard.
        if len(data) != BLOCK + size or size_in(data[:BLOCK]) != size:
            raise ShardError(
                f"the shard {path} was changed after it was opened: there is no picture of {size} "
                f"bytes at {start}; start again, and its index is made anew"
            )
        return data[BLOCK:]

    def name(self, index: int) -> str:
        """The shard's file name, with the folders that it takes to tell it from others, and the
        member's name, with a slash between them; numbered where a shard has one of them twice.
        """
        shard, number = self._place(index)
        if self._named is None or self._named[0] != shard:
            arrays = self._index(shard)
            names = Texts(arrays["names"], arrays["offsets"])
            self._named = shard, numbered([printable(name) for name in names])
        return f"{self._short[shard]}/{self._named[1][number]}"

    def stamp(self, index: int) -> Stamp | None:
        """The picture's size, and when its shard was changed, where that is a local file."""
        shard, _ = self._place(index)
        return Stamp(int(self._sizes[index]) % 2**32, self._stamps[shard].modified)

    def fingerprint(self) -> str:
        """Tells other pictures, or the same ones in another order, apart."""
        return self._fingerprint

    def _place(self, index: int) -> tuple[int, int]:
        """The shard of a picture, and its number there."""
        if not 0 <= index < len(self):
            raise IndexError(f"image {index} of shards with {len(self)}")
        ends = self._ends.numpy()
        shard = int(np.searchsorted(ends, index, side="right"))
        return shard, index - (int(ends[shard - 1]) if shard else 0)

    def _index(self, shard: int) -> Arrays:
        """Of the pictures of a shard that count for the channels."""
        arrays = open_index(self._files, self._paths[shard], self._stamps[shard].size)
        if b".npy" not in arrays["names"].tobytes().lower():
            return arrays
        extensions = {extension.encode() for extension in extensions_of(self.channels)}
        names, kept, last = list(Texts(arrays["names"], arrays["offsets"])), [], b""
        for number, name in enumerate(names):
            key, extension = split_name(name)
            if extension in extensions and key != last:
                kept.append(number)
                last = key
        chosen = [names[number] for number in kept]
        return arrays_of(arrays["blocks"][kept], arrays["sizes"][kept], chosen)


def expand_braces(pattern: str) -> list[str]:
    """A pattern without braces for each of what `{000000..000099}` and `{a,b}` stand for. Raises
    ShardError.
    """
    parts = re.split(r"\{([^{}]*)\}", pattern)
    choices = [[text] if n % 2 == 0 else _choices(text) for n, text in enumerate(parts)]
    return ["".join(chosen) for chosen in product(*choices)]


def _choices(text: str) -> list[str]:
    numbers = re.fullmatch(r"(\d+)\.\.(\d+)", text)
    if not numbers:
        return text.split(",")
    first, last = numbers.groups()
    if int(first) > int(last):
        raise ShardError(
            f"expected shards that are counted up, got {{{text}}}; write {{{last}..{first}}}"
        )
    if int(last) - int(first) >= MOST_SHARDS:
        raise ShardError(
            f"{{{text}}} stands for more than {MOST_SHARDS:,} shards; name fewer, or a pattern "
            "with *, which takes those that are there"
        )
    width = len(first) if first.startswith("0") else 0
    return [f"{number:0{width}}" for number in range(int(first), int(last) + 1)]
