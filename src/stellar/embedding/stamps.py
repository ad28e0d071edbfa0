"""Whether pictures are as they were when they were encoded: size and time of each are columns
beside its vectors.
"""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from stellar.data.folder import Stamp, Stamped
from stellar.embedding.reading import DAMAGE, OF_FILES, files_of, readable
from stellar.embedding.whole import UNREADABLE, Unreadable, from_json

STAMPS = [pa.field(name, pa.int64()) for name in OF_FILES]
"""Columns behind those of the vectors: what `Stamp` says of each row's picture."""
COLUMNS = ["path", *OF_FILES]
"""What tells whether a row is still right."""
AT_ONCE = 16
"""Files that are asked for their stamps at the same time: a disk on a network answers slowly."""


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


def is_current(out: Path, source: Stamped, unreadable: Sequence[Unreadable]) -> bool:
    """Whether the images of a finished embedding of the same names are all as they were: those of
    its rows, which are in the order of the source, and those between them, which could not be
    read.
    """
    lacking, index = {each.name: each.stamp for each in unreadable}, 0
    for _, _, group in groups_of(out):
        found = _expected(group, source, range(index, len(source)), lacking)
        if stamps_of(source, range(index, index + len(found))) != found:
            return False
        index += len(found)
    left = range(index, len(source))
    return stamps_of(source, left) == [lacking.get(source.name(other)) for other in left]


def is_still_right(part: Path, source: Stamped, indices: range) -> bool:
    """Whether the images of a part are all as they were when it was made. What is damaged counts as
    right here, and is told of when it is read whole.
    """
    try:
        table = pq.read_table(part, columns=COLUMNS, page_checksum_verification=True)
        lacking = from_json(table.schema.metadata[UNREADABLE])
    except DAMAGE:
        return True
    stamps = {each.name: each.stamp for each in lacking}
    stamps |= dict(zip(table["path"].to_pylist(), stamps_in(table), strict=True))
    return stamps_of(source, indices) == [stamps.get(source.name(index)) for index in indices]


def _expected(
    group: pa.Table, source: Stamped, indices: range, lacking: Mapping[str, Stamp | None]
) -> list[Stamp | None]:
    """The stamps that images from the first of `indices` to the last one of some rows had."""
    found, others = [], iter(indices)
    for name, stamp in zip(group["path"].to_pylist(), stamps_in(group), strict=True):
        for index in others:
            if (other := source.name(index)) == name:
                found.append(stamp)
                break
            found.append(lacking.get(other))
    return found


def groups_of(out: Path) -> Iterator[tuple[Path, int, pa.Table]]:
    """Of each row group its file, its number there, and what tells pictures apart."""
    for file in files_of(out):
        with readable(file), pq.ParquetFile(file) as parquet:
            for number in range(parquet.num_row_groups):
                yield file, number, parquet.read_row_group(number, COLUMNS)


def stamps_in(table: pa.Table) -> Iterator[Stamp | None]:
    """Of rows, as they were written."""
    sizes, times = (table[field.name].to_pylist() for field in STAMPS)
    for size, modified in zip(sizes, times, strict=True):
        yield None if size is None else Stamp(size, modified)
