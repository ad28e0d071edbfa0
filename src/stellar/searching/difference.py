"""What an embedding has that an index has not, and the other way round.

A picture is known by its path, and its row by a hash of the global token: another picture has
another one. So of each picture no more than a path and 64 bits are in memory.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

import numpy as np
from jaxtyping import Float16, Int64

from stellar.embedding import global_tokens
from stellar.searching.tables import SearchError


@dataclass(frozen=True)
class Held:
    """The pictures that an index has."""

    hashes: dict[str, int]
    """Of their rows, by their paths."""
    ids: Int64[np.ndarray, "n"]
    """What they are called in the tables, in the same order."""


@dataclass(frozen=True)
class Difference:
    """What has to change in an index."""

    new: set[str]
    """Paths that it has not."""
    replaced: dict[str, int]
    """Ids of the rows that are others in the embedding, by their paths."""
    gone: list[int]
    """Ids of the pictures that the embedding has no more."""

    @property
    def wanted(self) -> set[str]:
        """The paths whose rows are to be taken in."""
        return self.new | self.replaced.keys()


def hashed(
    batches: Iterable[tuple[list[str], Float16[np.ndarray, "_ D"]]],
) -> Iterator[tuple[str, int]]:
    """Paths, and hashes of their global tokens."""
    for paths, cls in batches:
        for path, row in zip(paths, cls, strict=True):
            yield path, int.from_bytes(blake2b(row.tobytes(), digest_size=8).digest())


def rows_of(embedding: str | Path) -> dict[str, int]:
    """The hashes of an embedding's rows, by their paths. Raises SearchError for a path that it has
    twice, and as `row_groups` does.
    """
    found: dict[str, int] = {}
    for path, row in hashed(global_tokens(embedding)):
        if path in found:
            raise SearchError(
                f"{embedding} has {path} twice, so a search could not tell them apart; embed the "
                "folder that both lie in"
            )
        found[path] = row
    return found


def to_mirror(held: Held, rows: dict[str, int], folder: Path, embedding: str | Path) -> Difference:
    """What makes an index hold what an embedding does. Raises SearchError where they have no
    picture in common.
    """
    found = _compared(held, rows)
    if held.hashes and len(found.new) == len(rows):
        raise SearchError(
            f"{folder} holds other pictures: none of the {len(rows)} of {embedding} is in it; "
            "choose another --out, remove it, or add them with --add"
        )
    return found


def to_add(held: Held, rows: dict[str, int], folder: Path, embedding: str | Path) -> Difference:
    """What brings an embedding beside what an index holds. Raises SearchError for a path that both
    have, with different rows.
    """
    found = _compared(held, rows)
    for path in found.replaced:
        raise SearchError(
            f"{folder} has another picture called {path} than {embedding}: two folders have one of "
            "that name; embed the folder that both lie in"
        )
    return Difference(found.new, {}, [])


def _compared(held: Held, rows: dict[str, int]) -> Difference:
    replaced, gone = {}, []
    for (path, row), number in zip(held.hashes.items(), held.ids.tolist(), strict=True):
        if path not in rows:
            gone.append(number)
        elif rows[path] != row:
            replaced[path] = number
    return Difference(rows.keys() - held.hashes.keys(), replaced, gone)
