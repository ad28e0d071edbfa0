"""One part: which of its pictures are to be encoded, and its rows, in the order of the source, once
they are.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from stellar.data.folder import Stamp, Stamped
from stellar.embedding.earlier import Earlier, stamps_of, with_stamps


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
    """Of the pictures that are as they were, their rows in the embedding before."""
    num_known: int
    """Pictures that this has, be they changed or not."""

    @property
    def to_encode(self) -> list[int]:
        """Indices of the pictures that it has not, or not as they are."""
        pairs = zip(self.indices, self.rows, strict=True)
        return [index for index, row in pairs if row is None]

    @property
    def kept(self) -> list[int]:
        """Rows to take over."""
        return [row for row in self.rows if row is not None]

    def table(
        self, encoded: Sequence[pa.RecordBatch], schema: pa.Schema, earlier: Earlier | None
    ) -> pa.Table:
        """The rows of the part: those that were encoded, and those that are taken over."""
        places = {name: place for place, name in enumerate(self.names)}
        tables = [schema.empty_table()]
        for batch in encoded:
            rows = pa.Table.from_batches([batch])
            stamps = [self.stamps[places[name]] for name in rows["path"].to_pylist()]
            tables.append(with_stamps(rows, stamps))
        if earlier is None or not self.kept:
            return pa.concat_tables(tables)
        rows = pa.concat_tables([*tables, earlier.take(self.kept)])
        return rows.take(np.argsort([places[name] for name in rows["path"].to_pylist()]))


def look_at(number: int, indices: range, source: Stamped, earlier: Earlier | None) -> Part:
    """The part of these pictures."""
    names, stamps = [source.name(index) for index in indices], stamps_of(source, indices)
    if earlier is None:
        return Part(number, indices, names, stamps, [None] * len(indices), 0)
    rows = [earlier.row(*known) for known in zip(names, stamps, strict=True)]
    return Part(number, indices, names, stamps, rows, sum(name in earlier for name in names))
