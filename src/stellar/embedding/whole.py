"""Whether a finished embedding is what was written, and whole."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from stellar.embedding.embedder import EmbeddingError
from stellar.embedding.reading import files_of


def count_rows(out: Path, schema: pa.Schema, num_images: int) -> int:
    """Rows of an embedding of so many pictures. Raises EmbeddingError where it has other columns
    than the schema, says that it holds something else, or is not whole.
    """
    num_rows = 0
    for file in files_of(out):
        try:
            footer = pq.read_metadata(file)
            is_own = is_of(schema, footer.schema.to_arrow_schema())
        except (OSError, ValueError, pa.ArrowException) as error:
            if getattr(error, "errno", None) is not None:  # of the disk, not of what it holds
                raise
            is_own = False
        if not is_own:
            raise EmbeddingError(
                f"{file} is no part of this embedding, or is damaged; remove {out}, or choose "
                "another --out"
            )
        num_rows += footer.num_rows
    listed = unreadable_of(out)
    left_out = listed.read_bytes().count(b"\n") if listed.exists() else 0
    if num_rows + left_out != num_images:
        raise EmbeddingError(
            f"{out} has {num_rows} rows for {num_images} images, of which {listed.name} lists "
            f"{left_out} as unreadable; it is damaged, was moved without that list, or holds "
            "something else: remove it, or choose another --out"
        )
    return num_rows


def is_of(schema: pa.Schema, found: pa.Schema) -> bool:
    """Whether a file has the columns and says what it holds, as all files of a result do."""
    expected, said = schema.metadata or {}, found.metadata or {}
    return found == schema and all(said.get(name) == expected[name] for name in expected)


def unreadable_of(out: Path) -> Path:
    """The list of the images that could not be read, beside an embedding."""
    return out.with_name(out.name + ".unreadable.txt")
