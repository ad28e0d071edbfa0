"""A folder of images to one Parquet file: for each image its path, global token, semantic tokens
and maps.

Parquet, because pandas, polars and DuckDB open it as it is, column
by column, and because it is written row group by row group: memory does not grow with the number
of images. Vectors are fixed-size lists of half precision; the file's metadata (key `stellar`) has
their shapes, the model's hash and the preprocessing.
"""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from torch import Tensor

from stellar.config import Fit
from stellar.data import ImageFolder, ImageSource, Shards, open_source
from stellar.data.inference import picture_batches
from stellar.errors import UserError
from stellar.images import preprocessing
from stellar.images.sizes import ONE_SIZE
from stellar.model import Factors, Stellar
from stellar.model.files.saving import fingerprint
from stellar.precision import inference
from stellar.storage import place_file, write_file

PART_SIZE = 2048
"""Images of one row group, and of one part that a restart does not repeat."""


class EmbeddingError(UserError):
    """An embedding cannot be written, or a file is not one."""


@dataclass(frozen=True)
class EmbedResult:
    """What `embed` did."""

    file: Path
    num_images: int
    num_unreadable: int
    """Images left out; they are listed in a text file beside the result."""


def embed(
    model: Stellar,
    folder: str | Path,
    out: str | Path,
    batch_size: int = 64,
    num_workers: int = 0,
    fit: Fit = "crop",
    progress: Callable[[int, int], object] = lambda _done, _total: None,
) -> EmbedResult:
    """Encode every image below `folder` and write them, in sorted order, to the Parquet file `out`.

    Finished parts stay in `out`.parts until all are there, so a call that was killed goes on
    where it was when it is made again. All maps of a file have one size, so `fit` is crop or
    squash. `progress` is called with (images done, images in all). Raises DataError for a folder
    without images, and EmbeddingError for another fit, and when `out` exists or its parts come
    from another model or other data.
    """
    if fit not in ONE_SIZE:
        raise EmbeddingError(
            f"an embedding file holds maps of one size, so fit must be crop or squash, got {fit}; "
            "encode pictures of their own sizes one by one: model.encode(path, fit=...)"
        )
    out, source = Path(out), open_source(folder, model.config.in_chans)
    if out.exists():
        raise EmbeddingError(f"{out} exists; remove it, or choose another --out")
    if not out.parent.is_dir():
        raise EmbeddingError(
            f"the folder {out.parent} does not exist; create it, or choose another --out"
        )
    schema = _schema(model, fit)
    parts = _open_parts(out, schema, source)
    total = len(source)
    for start in range(0, total, PART_SIZE):
        part = parts / f"{start:012d}.parquet"
        indices = range(start, min(start + PART_SIZE, total))
        if not part.exists():
            table, unreadable = _encode(
                model, source, indices, fit, batch_size, num_workers, schema,
                lambda done, start=start: progress(start + done, total),
            )  # fmt: skip
            write_file(part.with_suffix(".unreadable"), "".join(unreadable))
            place_file(part, lambda path, table=table: pq.write_table(table, path))
        progress(indices.stop, total)
    return _join(parts, out, schema)


def _encode(
    model: Stellar,
    source: ImageSource,
    indices: range,
    fit: Fit,
    batch_size: int,
    num_workers: int,
    schema: pa.Schema,
    progress: Callable[[int], object],
) -> tuple[pa.Table, list[str]]:
    """One part, as a table and the lines about unreadable images."""
    rows, unreadable, done = [], [], 0
    for batch in picture_batches(source, indices, fit, model.config, batch_size, num_workers):
        if batch.indices:
            with inference(model.device):
                factors = model.encode(batch.images.to(model.device))
            rows.append(_rows([source.name(index) for index in batch.indices], factors, schema))
        unreadable += [f"{name}\t{reason}\n" for name, reason in batch.unreadable]
        done += len(batch.indices) + len(batch.unreadable)
        progress(done)
    return pa.Table.from_batches(rows, schema), unreadable


def _schema(model: Stellar, fit: Fit) -> pa.Schema:
    """The columns, with the metadata that makes the file readable on its own."""
    config = model.config
    side = config.image_size // config.patch_size
    shapes = {
        "cls": [config.embed_dim],
        "tokens": [config.num_sparse_tokens, config.embed_dim],
        "maps": [config.num_sparse_tokens, side, side],
    }
    metadata = {
        "model_sha256": fingerprint(model),
        "preprocessing": preprocessing(fit, config),
        "fit": fit,
        "image_size": config.image_size,
        "patch_size": config.patch_size,
        "shapes": shapes,
    }
    vectors = [
        pa.field(name, pa.list_(pa.float16(), int(np.prod(shape))), nullable=False)
        for name, shape in shapes.items()
    ]
    return pa.schema(
        [pa.field("path", pa.string(), nullable=False), *vectors],
        metadata={"stellar": json.dumps(metadata)},
    )


def _rows(names: list[str], factors: Factors, schema: pa.Schema) -> pa.RecordBatch:
    columns = [pa.array(names, pa.string())]
    for value, field in zip(
        (factors.cls, factors.sparse, factors.maps), list(schema)[1:], strict=True
    ):
        columns.append(pa.FixedSizeListArray.from_arrays(_half(value), type=field.type))
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _half(value: Tensor) -> pa.Array:
    return pa.array(value.half().cpu().flatten().numpy())


def _open_parts(out: Path, schema: pa.Schema, source: ImageFolder | Shards) -> Path:
    """The folder of finished parts; a manifest says what they are parts of."""
    manifest = json.dumps(
        {
            "images": len(source),
            "names": source.fingerprint(),
            **json.loads(schema.metadata[b"stellar"]),
        }
    )
    parts = out.with_name(out.name + ".parts")
    parts.mkdir(exist_ok=True)
    path = parts / "manifest.json"
    if path.exists() and path.read_text() != manifest:
        raise EmbeddingError(
            f"{parts} holds parts of another model's embedding, or of other images; "
            "remove it, or choose another --out"
        )
    write_file(path, manifest)
    return parts


def _join(parts: Path, out: Path, schema: pa.Schema) -> EmbedResult:
    """All parts as one file, row group by row group; then the parts go.

    What a killed call left half-written has a name that starts with a dot, and is not read.
    """
    count = 0

    def write(path: Path) -> None:
        nonlocal count
        with pq.ParquetWriter(path, schema) as writer:
            for part in sorted(parts.glob("[0-9]*.parquet")):
                table = pq.read_table(part)
                count += table.num_rows
                writer.write_table(table)

    unreadable = [file.read_text() for file in sorted(parts.glob("[0-9]*.unreadable"))]
    text = "".join(unreadable)
    if text:
        write_file(out.with_name(out.name + ".unreadable.txt"), text)
    place_file(out, write)
    shutil.rmtree(parts)
    return EmbedResult(out, count, text.count("\n"))


@dataclass(frozen=True)
class Embeddings:
    """An embedding file in memory; the arrays are half precision."""

    paths: list[str]
    cls: np.ndarray
    """(N, D)"""
    tokens: np.ndarray
    """(N, K, D)"""
    maps: np.ndarray
    """(N, K, h, w)"""
    metadata: dict[str, Any]


def read_embeddings(path: str | Path) -> Embeddings:
    """Read a file that `embed` wrote, arrays in their shapes. Raises EmbeddingError for any other
    file.
    """
    try:
        table = pq.read_table(path).combine_chunks()
        metadata = json.loads((table.schema.metadata or {})[b"stellar"])
    except (OSError, KeyError, pa.ArrowInvalid) as error:
        raise EmbeddingError(
            f"{path} is not an embedding written by stellar embed: {error}"
        ) from error
    arrays = {
        name: table[name].combine_chunks().flatten().to_numpy().reshape(-1, *shape)
        for name, shape in metadata["shapes"].items()
    }
    return Embeddings(table["path"].to_pylist(), metadata=metadata, **arrays)
