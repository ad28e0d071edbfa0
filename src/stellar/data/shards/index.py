"""Where the pictures of a shard lie: found in its headers once, and kept beside it.

Members `key.jpg`, `key.json`, ... that follow each other and share a key are a sample, as in
WebDataset. The key ends at the first dot of the base name, so `a.seg.png` is the `seg.png` of
sample `a`, and not its picture. A picture's member is kept with the place and the size of its
contents.
"""

import zlib

import numpy as np

from stellar.data.folder import EXTENSIONS
from stellar.data.indexfile import Arrays, Texts, read_index, write_index
from stellar.data.shards.ranges import LocalFiles, RemoteFiles
from stellar.data.shards.tar import BLOCK, Read, ShardError, members
from stellar.errors import first_line

PICTURES = tuple(extension.encode() for extension in (*EXTENSIONS, ".npy"))
LARGEST = 2**32 - 1
"""Bytes of a picture, and blocks of a shard, that an index can hold."""


def open_index(files: LocalFiles | RemoteFiles, path: str, size: int) -> Arrays:
    """The index of a shard of `size` bytes: the one that is kept if it belongs to the shard, else
    made and kept where that is possible. Raises ShardError.
    """
    try:
        with files.reader(path) as read:
            places = []
            for place in files.index_places(path):
                places.append(place)
                found = read_index(place)
                if found and found[1] == {"size": str(size), "last": last_header(found[0], read)}:
                    return found[0]
            arrays, seal = index_pictures(read, size, path)
    except OSError as error:
        raise ShardError(f"the shard {path} cannot be read ({first_line(error)})") from error
    any(write_index(place, arrays, seal) for place in places)
    return arrays


def index_pictures(read: Read, size: int, shard: str) -> tuple[Arrays, dict[str, str]]:
    """The index of the first picture of each sample of a shard, and its seal.

    `blocks` and `sizes` (n) say where contents start, in blocks, and how many bytes they have;
    `names` and `offsets` are the members' names. Raises ShardError.
    """
    names, starts, sizes, last = [], [], [], (b"", False)
    for member in members(read, size, shard):
        key, extension = split_name(member.name)
        this = (key, extension == b".npy")
        if extension in PICTURES and this != last:
            if max(member.size, member.start // BLOCK) > LARGEST:
                raise ShardError(f"{shard} is too large, or has a picture that is: {member.name!r}")
            names.append(member.name)
            starts.append(member.start)
            sizes.append(member.size)
            last = this
    arrays = arrays_of(np.array(starts) // BLOCK, np.array(sizes), names)
    return arrays, {"size": str(size), "last": last_header(arrays, read)}


def arrays_of(blocks: np.ndarray, sizes: np.ndarray, names: list[bytes]) -> Arrays:
    """An index of pictures with these names."""
    texts = Texts.of(names)
    return {
        "blocks": blocks.astype(np.uint32),
        "sizes": sizes.astype(np.uint32),
        "names": texts.data,
        "offsets": texts.offsets,
    }


def last_header(arrays: Arrays, read: Read) -> str:
    """Checksum of what lies where an index has the last header: another archive has another there.

    Times would tell less: they change when a file is copied or uploaded.
    """
    if len(arrays["blocks"]) == 0:
        return ""
    return f"{zlib.crc32(read((int(arrays['blocks'][-1]) - 1) * BLOCK, BLOCK)):08x}"


def split_name(name: bytes) -> tuple[bytes, bytes]:
    """Key and extension (in small letters, with its dot) of a member, as WebDataset splits it; no
    extension for hidden files.
    """
    folder, slash, base = name.rpartition(b"/")
    stem, dot, extension = base.partition(b".")
    return folder + slash + stem, (dot + extension).lower() if stem else b""
