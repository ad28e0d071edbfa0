"""A finished embedding as it lies on the disk: whether it is the one that was before, whether it is
whole, and what it lacks.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from stellar.data.folder import Stamp
from stellar.embedding.embedder import EmbeddingError
from stellar.embedding.reading import files_of
from stellar.json_text import parse_json
from stellar.storage import one_line, refusal, write_file

UNREADABLE = b"unreadable"
"""In the metadata of a file: the images that it lacks."""
Identity = tuple[int, int]
"""Size and time of its first file."""


@dataclass(frozen=True)
class Unreadable:
    """An image that could not be read."""

    name: str
    reason: str
    stamp: Stamp | None


def name_of_part(start: int) -> str:
    """Of the file of a part, by the index of its first image."""
    return f"{start:012d}.parquet"


def identity(out: Path) -> Identity | None:
    """Tells an embedding from one that takes its place; None where there is none. A folder is
    listed only where it lacks its first part: this is asked for each batch.
    """
    first = out / name_of_part(0)
    try:
        status = (first if first.exists() else next(iter(files_of(out)))).stat()
    except (StopIteration, FileNotFoundError, NotADirectoryError):
        return None
    return status.st_size, status.st_mtime_ns


@dataclass(frozen=True)
class Whole:
    """What a whole embedding holds, and lacks."""

    num_rows: int
    unreadable: list[Unreadable]


def look_through(out: Path, schema: pa.Schema, num_images: int) -> Whole:
    """An embedding of so many images. Raises EmbeddingError where it has other columns than the
    schema, says that it holds something else, or is not whole.
    """
    num_rows, unreadable = 0, []
    for file in files_of(out):
        try:
            footer = pq.read_metadata(file)
            lacking = (footer.metadata or {}).get(UNREADABLE)
            if lacking is None or not is_of(schema, footer.schema.to_arrow_schema()):
                raise ValueError
            unreadable += from_json(lacking)
        except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
            raise EmbeddingError(
                refusal(file, error)
                or f"{file} is no part of this embedding, or is damaged; remove {out}, or choose "
                "another --out"
            ) from error
        num_rows += footer.num_rows
    if num_rows + len(unreadable) != num_images:
        raise EmbeddingError(
            f"{out} has {num_rows} rows for {num_images} images, of which {len(unreadable)} could "
            "not be read; it is damaged, or holds something else: remove it, or choose another "
            "--out"
        )
    return Whole(num_rows, unreadable)


def is_of(schema: pa.Schema, found: pa.Schema) -> bool:
    """Whether a file has the columns and says what it holds, as all files of a result do."""
    expected, said = schema.metadata or {}, found.metadata or {}
    return found == schema and all(said.get(name) == expected[name] for name in expected)


def to_json(unreadable: Sequence[Unreadable]) -> bytes:
    """For the metadata of a file."""
    rows = [
        (each.name, each.reason, each.stamp and (each.stamp.size, each.stamp.modified))
        for each in unreadable
    ]
    return json.dumps(rows).encode()


def from_json(data: bytes) -> list[Unreadable]:
    """As `to_json` wrote it."""
    return [
        Unreadable(name, reason, None if stamp is None else Stamp(*stamp))
        for name, reason, stamp in parse_json(data.decode())
    ]


def list_unreadable(out: Path, unreadable: Sequence[Unreadable]) -> Path:
    """Write their names and reasons beside an embedding, or remove the list where there are none.
    Raises NotWritten.
    """
    place = out.with_name(out.name + ".unreadable.txt")
    text = "".join(f"{one_line(each.name)}\t{one_line(each.reason)}\n" for each in unreadable)
    if not text:
        place.unlink(missing_ok=True)
    elif not place.exists() or place.read_text("utf-8", "replace") != text:
        write_file(place, text)
    return place
