"""The embedding that is brought up to date: its rows are taken over where their pictures are the
same, by path, size and time.
"""

from collections import Counter
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from stellar.data.folder import Stamp
from stellar.embedding.embedder import EmbeddingError
from stellar.embedding.reading import readable
from stellar.embedding.stamps import groups_of, stamps_in


class Earlier:
    """The rows of a finished embedding, by the names of their images, where these are of one image
    alone; a million take some 250 MB of memory. Raises EmbeddingError for a damaged one.
    """

    def __init__(self, out: Path) -> None:
        self._groups: list[tuple[Path, int]] = []
        self._starts = [0]
        names: list[str] = []
        self._stamps: list[Stamp | None] = []
        for file, number, group in groups_of(out):
            names += group["path"].to_pylist()
            self._stamps += stamps_in(group)
            self._groups.append((file, number))
            self._starts.append(len(names))
        self._rows = {name: row for row, name in enumerate(names)}
        if len(self._rows) < len(names):  # files whose names are printed alike
            often = Counter(names)
            self._rows = {name: row for name, row in self._rows.items() if often[name] == 1}

    def __len__(self) -> int:
        return len(self._stamps)

    def has(self, name: str) -> bool:
        """Whether there is a row of such an image."""
        return name in self._rows

    def row(self, name: str, stamp: Stamp | None) -> int | None:
        """The number of the row of a picture that is as it was; None where it is not, or where
        there is none.
        """
        row = self._rows.get(name)
        return row if row is not None and stamp is not None and self._stamps[row] == stamp else None

    def take(self, rows: Sequence[int], names: Sequence[str]) -> pa.Table:
        """Some rows, whole, in the order given, best a rising one: each row group is read once
        then. `names` are what they have to be of. Raises EmbeddingError where the disk has changed
        them, or another embedding is in their place.
        """
        tables, ends = [], np.array(self._starts[1:])
        for group, of_group in groupby(rows, lambda row: int(ends.searchsorted(row, "right"))):
            file, number = self._groups[group]
            with readable(file), pq.ParquetFile(file, page_checksum_verification=True) as parquet:
                found = parquet.read_row_group(number)
                tables.append(found.take([row - self._starts[group] for row in of_group]))
        taken = pa.concat_tables(tables).replace_schema_metadata()
        if taken["path"].to_pylist() != list(names):
            raise EmbeddingError(
                f"{self._groups[0][0]} was replaced while it was read; give the same command again"
            )
        return taken
