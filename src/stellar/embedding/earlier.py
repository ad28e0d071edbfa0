"""The embedding that is brought up to date: its rows are taken over where their pictures are the
same, by path, size and time.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from stellar.data.folder import Stamp, Stamped
from stellar.embedding.reading import files_of, readable

STAMPS = [pa.field("size", pa.int64()), pa.field("modified", pa.int64())]
"""Columns behind those of the vectors: what `Stamp` says of each row's picture."""
AT_ONCE = 16
"""Files that are asked for their stamps at the same time: a disk on a network answers slowly."""


class Earlier:
    """The rows of a finished embedding, by the names of their pictures; a million take some 250 MB
    of memory. Raises EmbeddingError for a damaged one.
    """

    def __init__(self, out: Path) -> None:
        self._groups: list[tuple[Path, int]] = []
        self._starts = [0]
        names: list[str] = []
        self._stamps: list[Stamp | None] = []
        for file, number, group in _groups(out):
            names += group["path"].to_pylist()
            self._stamps += _stamps_in(group)
            self._groups.append((file, number))
            self._starts.append(len(names))
        self._rows = {name: row for row, name in enumerate(names)}

    def __len__(self) -> int:
        return len(self._stamps)

    def __contains__(self, name: str) -> bool:
        return name in self._rows

    def row(self, name: str, stamp: Stamp | None) -> int | None:
        """The number of the row of a picture that is as it was; None where it is not, or where
        there is none.
        """
        row = self._rows.get(name)
        return row if row is not None and stamp is not None and self._stamps[row] == stamp else None

    def take(self, rows: Sequence[int]) -> pa.Table:
        """Some rows, whole, in rising order. Raises EmbeddingError where the disk has changed
        them.
        """
        tables, ends = [], np.array(self._starts[1:])
        for group, of_group in groupby(sorted(rows), lambda row: ends.searchsorted(row, "right")):
            file, number = self._groups[group]
            with readable(file), pq.ParquetFile(file, page_checksum_verification=True) as parquet:
                found = parquet.read_row_group(number)
            tables.append(found.take([row - self._starts[group] for row in of_group]))
        return pa.concat_tables(tables).replace_schema_metadata()


def stamps_of(source: Stamped, indices: Sequence[int]) -> list[Stamp | None]:
    """Of some pictures, in their order."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(source.stamp, indices))


def with_stamp_columns(schema: pa.Schema) -> pa.Schema:
    """The columns of a file: those of an encoder, and the stamps."""
    return pa.schema([*schema, *STAMPS], schema.metadata)


def with_stamps(rows: pa.Table, stamps: Sequence[Stamp | None]) -> pa.Table:
    """Rows with the stamps of their pictures behind them."""
    size, modified = STAMPS
    sizes = [None if stamp is None else stamp.size for stamp in stamps]
    times = [None if stamp is None else stamp.modified for stamp in stamps]
    rows = rows.append_column(size, pa.array(sizes, size.type))
    return rows.append_column(modified, pa.array(times, modified.type))


def is_current(out: Path, source: Stamped) -> bool:
    """Whether the pictures of a finished embedding of the same names are all as they were: those of
    its rows, which are in the order of the source, and those between them, which could not be read
    and would be newer than the embedding if somebody had mended them.
    """
    written, index = out.stat().st_mtime_ns, 0
    for _, _, group in _groups(out):
        found, unread = [], []
        for name in group["path"].to_pylist():
            while index < len(source) and source.name(index) != name:
                unread.append(index)
                index += 1
            found.append(index)
            index += 1
        if index > len(source) or stamps_of(source, found) != list(_stamps_in(group)):
            return False
        if _any_since(written, source, unread):
            return False
    return not _any_since(written, source, range(index, len(source)))


def _groups(out: Path) -> Iterator[tuple[Path, int, pa.Table]]:
    """Of each row group its file, its number there, and what tells pictures apart."""
    columns = ["path", *(field.name for field in STAMPS)]
    for file in files_of(out):
        with readable(file), pq.ParquetFile(file) as parquet:
            for number in range(parquet.num_row_groups):
                yield file, number, parquet.read_row_group(number, columns)


def _stamps_in(table: pa.Table) -> Iterator[Stamp | None]:
    sizes, times = (table[field.name].to_pylist() for field in STAMPS)
    for size, modified in zip(sizes, times, strict=True):
        yield None if size is None else Stamp(size, modified)


def _any_since(written: int, source: Stamped, indices: Sequence[int]) -> bool:
    stamps = stamps_of(source, indices)
    return any(stamp and stamp.modified and stamp.modified > written for stamp in stamps)
