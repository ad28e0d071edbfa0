"""Embeddings from disk to memory."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from stellar.embedding.embedder import EmbeddingError


@dataclass(frozen=True)
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


def read_embeddings(path: str | Path) -> Embeddings:
    """Read what `embed` wrote, a file or a folder of parts, arrays in their shapes. Raises
    EmbeddingError for anything else, and where the disk has changed it.
    """
    try:
        table = pq.read_table(path, page_checksum_verification=True).combine_chunks()
        metadata = json.loads((table.schema.metadata or {})[b"stellar"])
        arrays = {
            name: table[name].combine_chunks().flatten().to_numpy().reshape(-1, *shape)
            for name, shape in metadata["shapes"].items()
        }
        return Embeddings(table["path"].to_pylist(), metadata=metadata, **arrays)
    except (
        OSError,
        LookupError,
        TypeError,
        AttributeError,
        ValueError,
        pa.ArrowException,
    ) as error:
        raise EmbeddingError(
            f"{path} is not an embedding written by stellar embed, or is damaged: {error}"
        ) from error
