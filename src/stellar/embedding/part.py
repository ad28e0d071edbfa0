"""One part: which of its pictures are to be encoded, and its rows, in the order of the source, once
they are.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from stellar.data.folder import Stamp, Stamped
from stellar.embedding.earlier import Earlier
from stellar.embedding.stamps import stamps_of, with_stamps


@dataclass(frozen=True)
class Part:
    """What a part is made of, as it was found before any picture of it was read: one that is
    changed after that is noticed the next time.
    """

    number: int
    indices: range
    names: list[str]
    stamps: list[Stamp | None]
    rows: list[int | None]
    """Of each image its row in the earlier embedding, where that is still right."""
    known: frozenset[str]
    """Names that the earlier embedding has a row of, be it right or not."""

    def names_of(self, indices: Sequence[int]) -> list[str]:
        """Of some of its images."""
        return [self.names[index - self.indices.start] for index in indices]

    @property
    def to_encode(self) -> list[int]:
        """Indices of the images without such a row."""
        pairs = zip(self.indices, self.rows, strict=True)
        return [index for index, row in pairs if row is None]

    @property
    def kept(self) -> list[int]:
        """Rows to take over."""
        return [row for row in self.rows if row is not None]

    def table(
        self,
        encoded: Sequence[tuple[Sequence[int], pa.RecordBatch]],
        schema: pa.Schema,
        earlier: Earlier | None,
    ) -> pa.Table:
        """The rows of the part: those that were encoded, with the indices of their images, and
        those that are taken over. Raises EmbeddingError where the earlier embedding is not what it
        was.
        """
        tables, places = [schema.empty_table()], []
        for indices, batch in encoded:
            own = [index - self.indices.start for index in indices]
            stamps = [self.stamps[place] for place in own]
            tables.append(with_stamps(pa.Table.from_batches([batch]), stamps))
            places += own
        if earlier is None or not self.kept:
            return pa.concat_tables(tables)
        own = [place for place, row in enumerate(self.rows) if row is not None]
        tables.append(earlier.take(self.kept, [self.names[place] for place in own]))
        return pa.concat_tables(tables).take(np.argsort([*places, *own]))


def look_at(number: int, indices: range, source: Stamped, earlier: Earlier | None) -> Part:
    """The part of these pictures."""
    names, stamps = [source.name(index) for index in indices], stamps_of(source, indices)
    if earlier is None:
        return Part(number, indices, names, stamps, [None] * len(indices), frozenset())
    rows = [earlier.row(*known) for known in zip(names, stamps, strict=True)]
    return Part(number, indices, names, stamps, rows, frozenset(filter(earlier.has, names)))
