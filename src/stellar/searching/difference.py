"""What an embedding has that an index has not, and the other way round.

A picture is known by its path, and its row by 64 bits: a hash of the global token and of the size
and time of the picture's file, since two pictures that differ where the model does not look have
the same token. Both are in memory, of the embedding and again of the index: as Python holds them
some 200 bytes a picture each time, so 400 MB for a million pictures that are in both.
"""

from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path

import numpy as np
from jaxtyping import Float16, Int64

from stellar.embedding import global_tokens
from stellar.searching.tables import SearchError
from stellar.storage import at_home


@dataclass(frozen=True)
class Held:
    """The pictures that an index has."""

    hashes: dict[str, int]
    """Of their rows, by their paths."""
    ids: Int64[np.ndarray, "n"]
    """What they are called in the tables, in the same order."""
    origins: list[str]
    """The embeddings that they came from, in the same order."""


@dataclass(frozen=True)
class Difference:
    """What has to change in an index."""

    wanted: set[str]
    """Paths whose rows are to be taken in: those that are new, and those of other rows."""
    replaced: list[int]
    """Ids of the pictures whose rows are others in the embedding."""
    gone: list[int]
    """Ids of the pictures that the embedding has no more."""

    @property
    def num_new(self) -> int:
        """Paths that the index has not."""
        return len(self.wanted) - len(self.replaced)


def rows_of(embedding: str | Path) -> dict[str, int]:
    """The hashes of an embedding's rows, by their paths. Raises SearchError for a path that it has
    twice, and as `row_groups` does.
    """
    found: dict[str, int] = {}
    for paths, cls, stamps in global_tokens(embedding):
        for path, row, stamp in zip(paths, cls, stamps, strict=True):
            if path in found:
                raise SearchError(
                    f"{embedding} has {path} twice, so a search could not tell them apart; embed "
                    "the folder that both lie in"
                )
            found[path] = _hashed(row, stamp)
    return found


def to_mirror(held: Held, rows: dict[str, int], folder: Path, embedding: str | Path) -> Difference:
    """What makes an index hold what an embedding does. Raises SearchError where no picture would
    stay as it is, and some would be forgotten: then the embedding is of others, even if a name or
    two is the same; and where pictures would be forgotten that were added from others.
    """
    found = _compared(held, rows, set(held.origins))
    if found.gone and len(found.wanted) == len(rows):
        raise SearchError(
            f"{folder} holds other pictures: none of the {len(rows)} of {embedding} is in it as it "
            f"is now, and {len(found.gone)} would be forgotten; choose another --out, remove it, "
            "or add them with --add"
        )
    if len(set(held.origins)) > 1:
        by_id, own = dict(zip(held.ids.tolist(), held.origins, strict=True)), origin_of(embedding)
        others = [by_id[number] for number in found.gone if by_id[number] != own]
        if others:
            raise SearchError(
                f"{folder} has {len(others)} pictures of other embeddings, as {others[0]}, which "
                f"{embedding} has not; keep them with --add, or remove {folder} and make it again"
            )
    return found


def to_add(held: Held, rows: dict[str, int], folder: Path, embedding: str | Path) -> Difference:
    """What brings an embedding beside what an index holds, of which nothing is forgotten. Pictures
    that came from it before follow it, unless none of them is as it was: then it is another one of
    the same name. Raises SearchError for a path that two embeddings have, with different rows.
    """
    known, own = list(zip(held.hashes.items(), held.origins, strict=True)), origin_of(embedding)
    follows = any(rows.get(path) == row for (path, row), origin in known if origin == own)
    origins = {own} if follows else set()
    for (path, row), origin in known:
        if origin not in origins and rows.get(path, row) != row:
            raise SearchError(
                f"{folder} has another picture called {path} than {embedding}: it was changed, or "
                "two folders have one of that name; embed the folder that all pictures lie in"
            )
    return replace(_compared(held, rows, origins), gone=[])


def origin_of(embedding: str | Path) -> str:
    """By which an index knows it again: where it lies."""
    return str(Path(at_home(embedding)).resolve())


def _compared(held: Held, rows: dict[str, int], origins: set[str]) -> Difference:
    """With the pictures of an index that came from some embeddings."""
    wanted, replaced, gone = rows.keys() - held.hashes.keys(), [], []
    each = zip(held.hashes.items(), held.ids.tolist(), held.origins, strict=True)
    for (path, row), number, origin in each:
        if origin not in origins:
            continue
        if path not in rows:
            gone.append(number)
        elif rows[path] != row:
            wanted.add(path)
            replaced.append(number)
    return Difference(wanted, replaced, gone)


def _hashed(cls: Float16[np.ndarray, "D"], stamp: Int64[np.ndarray, "_"]) -> int:
    """Of a row, in the range of int64."""
    digest = blake2b(cls.tobytes() + stamp.tobytes(), digest_size=8).digest()
    return int.from_bytes(digest, signed=True)
