"""Embeddings made by hand: their tokens and maps are what a test says."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from stellar.embedding.embedder import schema_of

K, D, SIDE = 3, 24, 4


def metadata(**changed: Any) -> dict[str, Any]:
    """As `stellar embed` says it of a model with 3 tokens, 24 wide, and 4 x 4 patches."""
    return {
        "model_sha256": "a" * 64,
        "preprocessing": "largest centred square",
        "fit": "crop",
        "image_size": 16,
        "patch_size": 4,
        "shapes": {"cls": [D], "tokens": [K, D], "maps": [K, SIDE, SIDE]},
        **changed,
    }


def random_tokens(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, K, D))


def random_maps(count: int, seed: int = 0) -> np.ndarray:
    """Columns of L: over the tokens of a patch they sum to 1, most of it for one."""
    share = np.exp(3 * np.random.default_rng(seed).normal(size=(count, K, SIDE, SIDE)))
    return share / share.sum(axis=1, keepdims=True)


def names(count: int) -> list[str]:
    return [f"{number:03d}.jpg" for number in range(count)]


def embedding(
    file: Path,
    tokens: np.ndarray,
    maps: np.ndarray | None = None,
    paths: list[str] | None = None,
    row_group: int = 16,
    stamps: Sequence[tuple[int | None, int | None]] | None = None,
    **changed: Any,
) -> Path:
    """A file of pictures 000.jpg, 001.jpg, ... with these tokens and maps; cls is their sum.
    `stamps` are the sizes and times of the pictures' files.
    """
    count = len(tokens)
    columns: list[pa.Array] = [pa.array(names(count) if paths is None else paths, pa.string())]
    for values in (
        tokens.sum(axis=1), tokens, random_maps(count) if maps is None else maps,
    ):  # fmt: skip
        flat = pa.array(values.astype(np.float16).ravel())
        columns.append(pa.FixedSizeListArray.from_arrays(flat, int(np.prod(values.shape[1:]))))
    table = pa.Table.from_arrays(columns, schema=schema_of(metadata(**changed)))
    if stamps is not None:
        for name, values in zip(("size", "modified"), zip(*stamps, strict=True), strict=True):
            table = table.append_column(name, pa.array(values, pa.int64()))
    pq.write_table(table, file, row_group_size=row_group)
    return file
