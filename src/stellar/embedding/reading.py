"""Embeddings from disk to memory, whole or a row group at a time."""

from collections.abc import Iterator
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
from stellar.storage import at_home

DAMAGE = (OSError, LookupError, TypeError, AttributeError, ValueError, pa.ArrowException)
"""What reading a file that is something else, or was changed, may raise."""


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
        parts = [pq.read_table(file, page_checksum_verification=True) for file in _files(path)]
        return _in_shape(pa.concat_tables(parts))


def row_groups(path: str | Path) -> Iterator[Embeddings]:
    """What `read_embeddings` reads, in the same order, so much at a time as was written at once.
    Raises as it does, when it comes to what is wrong.
    """
    for file in _files(path):
        with readable(file), pq.ParquetFile(file, page_checksum_verification=True) as parquet:
            for number in range(parquet.num_row_groups):
                group = parquet.read_row_group(number)
                yield _in_shape(group.replace_schema_metadata(parquet.schema_arrow.metadata))


def embedded_paths(path: str | Path) -> Iterator[str]:
    """The column `path` of what `row_groups` reads, alone. Raises as that does."""
    for file in _files(path):
        with readable(file), pq.ParquetFile(file, page_checksum_verification=True) as parquet:
            for batch in parquet.iter_batches(columns=["path"]):
                yield from batch["path"].to_pylist()


def global_tokens(path: str | Path) -> Iterator[tuple[list[str], np.ndarray]]:
    """The columns `path` and `cls`, (n, D), of what `row_groups` reads, alone, some rows at a time.
    Raises as that does.
    """
    for file in _files(path):
        with readable(file), pq.ParquetFile(file, page_checksum_verification=True) as parquet:
            width = _metadata(parquet.schema_arrow)["shapes"]["cls"][0]
            for batch in parquet.iter_batches(columns=["path", "cls"]):
                cls = batch["cls"].flatten().to_numpy().reshape(-1, width)
                yield batch["path"].to_pylist(), cls


def describe_embeddings(path: str | Path) -> tuple[int, dict[str, Any]]:
    """How many rows an embedding has, and its metadata; as `read_embeddings` raises."""
    files = _files(path)
    with readable(path):
        metadata = _metadata(pq.read_schema(files[0]))
        return sum(pq.read_metadata(file).num_rows for file in files), metadata


def files_of(path: Path) -> list[Path]:
    """The file that an embedding is, or those of a folder, in the order of their rows: without
    what is hidden, as pyarrow's readers have it.
    """
    if not path.is_dir():
        return [path]
    return sorted(file for file in path.glob("*.parquet") if not file.name.startswith((".", "_")))


def _files(path: str | Path) -> list[Path]:
    path = Path(at_home(path))
    files = files_of(path)
    if not path.exists() or not files:
        problem = "holds no .parquet files" if path.exists() else "does not exist"
        raise EmbeddingError(
            f"expected an embedding written by stellar embed, but {path} {problem}"
        )
    return files


def _in_shape(table: pa.Table) -> Embeddings:
    table = table.combine_chunks()
    metadata = _metadata(table.schema)
    arrays = {
        name: table[name].combine_chunks().flatten().to_numpy().reshape(-1, *shape)
        for name, shape in metadata["shapes"].items()
    }
    return Embeddings(table["path"].to_pylist(), metadata=metadata, **arrays)


def _metadata(schema: pa.Schema) -> dict[str, Any]:
    """What a file says of its rows; one of DAMAGE where that is not so."""
    metadata = check_metadata(parse_json((schema.metadata or {})[b"stellar"]))
    for name, shape in metadata["shapes"].items():
        if schema.field(name).type.list_size != np.prod(shape):
            raise ValueError(f"its {name} are not of shape {shape}")
    return metadata


@contextmanager
def readable(path: str | Path) -> Iterator[None]:
    """What reading raises, as one sentence: EmbeddingError."""
    try:
        yield
    except UserError:
        raise
    except DAMAGE as error:
        raise EmbeddingError(
            f"{path} is not an embedding written by stellar embed, or is damaged: {error}"
        ) from error
