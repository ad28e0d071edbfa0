"""Embeddings from disk to memory, whole or a row group at a time."""

from collections.abc import Container, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from stellar.embedding.embedder import EmbeddingError, check_metadata
from stellar.errors import UserError
from stellar.json_text import parse_json
from stellar.storage import at_home, permitted, refusal

DAMAGE = (OSError, LookupError, TypeError, AttributeError, ValueError, pa.ArrowException)
"""What reading a file that is something else, or was changed, may raise."""
OF_FILES = "size", "modified"
"""Columns that tell the files of pictures apart, where an embedding has them."""


@dataclass(frozen=True, repr=False, eq=False)
class Embeddings:
    """An embedding in memory; the arrays are half precision."""

    paths: list[str]
    cls: np.ndarray
    """(N, D)"""
    tokens: np.ndarray
    """(N, K, D)"""
    maps: np.ndarray
    """(N, K, h, w)"""
    metadata: dict[str, Any]

    def __repr__(self) -> str:
        arrays = ", ".join(
            f"{name} {getattr(self, name).shape}" for name in self.metadata["shapes"]
        )
        return f"Embeddings({len(self.paths)} pictures: {arrays})"


def read_embeddings(path: str | Path) -> Embeddings:
    """Read what `embed` wrote, a file or a folder of parts, arrays in their shapes. Raises
    EmbeddingError for anything else, and where the disk has changed it.
    """
    with readable(path):
        return _in_shape(pa.concat_tables(map(_table, _files(path))))


def row_groups(path: str | Path, wanted: Container[str] | None = None) -> Iterator[Embeddings]:
    """What `read_embeddings` reads, in the same order, so much at a time as was written at once;
    with `wanted` the rows with these paths alone, and where a group has none, none of its vectors.
    Raises as it does, when it comes to what is wrong.
    """
    for file in _files(path):
        with _opened(file) as parquet:
            for number in range(parquet.num_row_groups):
                rows = None if wanted is None else _rows_among(wanted, parquet, number)
                if rows == []:
                    continue
                group = parquet.read_row_group(number)
                group = group.replace_schema_metadata(parquet.schema_arrow.metadata)
                if rows is not None and len(rows) < group.num_rows:
                    group = group.take(rows)
                yield _in_shape(group)


def global_tokens(path: str | Path) -> Iterator[tuple[list[str], np.ndarray, np.ndarray]]:
    """The columns `path` and `cls`, (n, D), of what `row_groups` reads, alone, some rows at a time,
    and beside them `size` and `modified`, (n, 2): -1 where they are null, and (n, 0) where there
    are no such columns. Raises as that does.
    """
    for file in _files(path):
        with _opened(file) as parquet:
            width = _metadata(parquet.schema_arrow)["shapes"]["cls"][0]
            stamps = [name for name in OF_FILES if name in parquet.schema_arrow.names]
            for batch in parquet.iter_batches(columns=["path", "cls", *stamps]):
                of_files = [batch[name].cast(pa.int64()).fill_null(-1) for name in stamps]
                beside = np.array(of_files, np.int64).reshape(len(stamps), len(batch)).T
                yield _paths(batch["path"]), _numbers(batch["cls"], [width]), beside


def describe_embeddings(path: str | Path) -> tuple[int, dict[str, Any]]:
    """How many rows an embedding has, and its metadata; as `read_embeddings` raises."""
    files = _files(path)
    with _opened(files[0]) as parquet:
        metadata = _metadata(parquet.schema_arrow)
    return sum(map(_num_rows, files)), metadata


def files_of(path: Path) -> list[Path]:
    """The file that an embedding is, or those of a folder, in the order of their rows: without
    what is hidden, as pyarrow's readers have it.
    """
    if not path.is_dir():
        return [path]
    files = (file for file in path.iterdir() if file.suffix == ".parquet")  # glob hides refusals
    return sorted(file for file in files if not file.name.startswith((".", "_")))


def _files(path: str | Path) -> list[Path]:
    path = Path(at_home(path))
    with permitted(path, EmbeddingError):
        files = files_of(path) if path.exists() else []
        problem = "holds no .parquet files" if path.exists() else "does not exist"
    if not files:
        raise EmbeddingError(
            f"expected an embedding written by stellar embed, but {path} {problem}"
        )
    return files


def _table(file: Path) -> pa.Table:
    with readable(file):
        return pq.read_table(file, page_checksum_verification=True)


def _num_rows(file: Path) -> int:
    with readable(file):
        return pq.read_metadata(file).num_rows


def _in_shape(table: pa.Table) -> Embeddings:
    table = table.combine_chunks()
    metadata = _metadata(table.schema)
    arrays = {
        name: _numbers(table[name].combine_chunks(), shape)
        for name, shape in metadata["shapes"].items()
    }
    return Embeddings(_paths(table["path"]), metadata=metadata, **arrays)


def _rows_among(wanted: Container[str], parquet: pq.ParquetFile, number: int) -> list[int]:
    """Which rows of a row group have one of some paths."""
    paths = _paths(parquet.read_row_group(number, ["path"])["path"])
    return [row for row, path in enumerate(paths) if path in wanted]


def _paths(column: pa.Array | pa.ChunkedArray) -> list[str]:
    """Raises ValueError where one is null."""
    if column.null_count:
        raise ValueError("some of its paths are null")
    return column.to_pylist()


def _numbers(column: pa.Array, shape: Sequence[int]) -> np.ndarray:
    """Lists, as an array (n, *shape). Raises ValueError where one of them, or a number in one, is
    null.
    """
    numbers = column.flatten()
    if column.null_count or numbers.null_count:
        raise ValueError("some of its vectors are null")
    return numbers.to_numpy().reshape(-1, *shape)


def _metadata(schema: pa.Schema) -> dict[str, Any]:
    """What a file says of its rows; one of DAMAGE where that is not so."""
    said = (schema.metadata or {}).get(b"stellar")
    if said is None:
        raise ValueError(
            "it lacks the metadata 'stellar', which pandas, polars and DuckDB drop where they "
            "write a file anew; write it once more with pyarrow, as "
            "table.cast(pyarrow.parquet.read_schema(original)), or name the original"
        )
    metadata = check_metadata(parse_json(said))
    for name in ("path", *metadata["shapes"]):
        if name not in schema.names:
            raise ValueError(f"it has no column {name}")
    path = schema.field("path").type
    if not (pa.types.is_string(path) or pa.types.is_large_string(path)):
        raise ValueError(f"its paths are {path}, not text")
    for name, shape in metadata["shapes"].items():
        vectors = schema.field(name).type
        if getattr(vectors, "list_size", None) != np.prod(shape):
            raise ValueError(f"its {name} are not of shape {shape}")
        if vectors.value_type != pa.float16():
            raise ValueError(f"its {name} are {vectors.value_type}, not half precision")
    return metadata


@contextmanager
def _opened(file: Path) -> Iterator[pq.ParquetFile]:
    """A file whose columns are those of an embedding."""
    with readable(file), pq.ParquetFile(file, page_checksum_verification=True) as parquet:
        _metadata(parquet.schema_arrow)
        yield parquet


@contextmanager
def readable(path: str | Path) -> Iterator[None]:
    """What reading raises, as one sentence: EmbeddingError."""
    try:
        yield
    except UserError:
        raise
    except DAMAGE as error:
        raise EmbeddingError(
            refusal(path, error)
            or f"{path} is not an embedding written by stellar embed, or is damaged: {error}"
        ) from error
