"""Parts that are all done become the result, and what they say is summed up.

A file is replaced in one step. A folder takes two: the one that was there moves among the parts,
then the new one to its place. Who is killed between them leaves both, and the next call does the
second step (`end_what_was_cut_short`).
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from stellar.embedding.embedder import EmbeddingError
from stellar.embedding.manifest import read_manifest
from stellar.embedding.parts import KEPT, KNOWN, LAYOUT, Parts
from stellar.embedding.reading import files_of
from stellar.embedding.whole import (
    UNREADABLE,
    Unreadable,
    from_json,
    identity,
    is_of,
    list_unreadable,
    look_through,
    to_json,
)
from stellar.storage import place_file, reason_of, remove_folder, sync


@dataclass(frozen=True)
class EmbedResult:
    """What `embed` did."""

    file: Path
    """The file, or the folder of parts."""
    num_images: int
    num_unreadable: int
    """Images left out; they are listed in a text file beside the result."""
    num_kept: int = 0
    """Images whose rows were there before."""
    num_gone: int = 0
    """Images that the embedding before had, and that are not there any more, or broken."""


@dataclass
class _Sum:
    """What the parts say."""

    num_rows: int = 0
    num_kept: int = 0
    num_known: int = 0


def finish(parts: Parts) -> EmbedResult:
    """All parts as the result; then the folder of parts goes. Raises EmbeddingError, and leaves
    what was there, where not one picture could be read, and where a part was damaged; also where a
    result that was there before is not what was asked for.
    """
    found = None
    try:
        if not parts.is_placed:
            _require_parts_alone(parts)
            found = _place(parts)
    except OSError:
        if not parts.is_placed:  # else another process placed it
            raise
    whole = look_through(parts.out, parts.schema, parts.num_images)
    list_unreadable(parts.out, whole.unreadable)
    tidy(parts)
    kept, gone = whole.num_rows, 0
    if found is not None:
        kept = found.num_kept
        gone = parts.replaced.num_rows - found.num_known if parts.replaced else 0
    return EmbedResult(parts.out, whole.num_rows, len(whole.unreadable), kept, gone)


def tidy(parts: Parts) -> None:
    """The folder of parts goes, unless they are of what will replace the result. What users keep
    in a folder beside its rows moves to the one that replaced it.
    """
    with suppress(FileNotFoundError):  # another process was faster
        manifest = read_manifest(parts.folder)
        if manifest is None or manifest.is_of(identity(parts.out)):
            return
        if parts.was_there.exists():
            rows = files_of(parts.was_there)
            for file in parts.was_there.iterdir():
                if file not in rows:
                    file.replace(parts.out / file.name)
        remove_folder(parts.folder)


def end_what_was_cut_short(parts: Parts) -> None:
    """Where a folder was moved away, and none took its place, the new one does."""
    if not parts.out.exists() and parts.was_there.exists():
        with suppress(FileNotFoundError):  # another process was faster
            (parts.data if parts.data.exists() else parts.was_there).replace(parts.out)


def _require_parts_alone(parts: Parts) -> None:
    """Raises EmbeddingError for a file of somebody else, which readers would take for one."""
    own = {parts.path(number).name for number in range(len(parts))}
    for file in parts.data.iterdir():
        if file.name not in own and not file.name.startswith("."):
            raise EmbeddingError(f"{file} is no part of this embedding; move it away")


def _place(parts: Parts) -> _Sum:
    if parts.out.suffix == ".parquet":
        # Beside the parts, so that it goes with them where a kill leaves it half-written.
        return place_file(parts.out, partial(_join, parts), staging=parts.folder)
    found, _ = _read_all(parts, lambda _table: None)  # each is whole
    if parts.replaced is not None and identity(parts.out) == parts.replaced.identity:
        parts.out.replace(parts.was_there)  # and goes with the parts
    parts.data.replace(parts.out)
    sync(parts.out.parent)
    return found


def _join(parts: Parts, path: Path) -> _Sum:
    with pq.ParquetWriter(path, parts.schema, **LAYOUT) as writer:
        found, unreadable = _read_all(parts, writer.write_table)
        writer.add_key_value_metadata({UNREADABLE: to_json(unreadable)})
    return found


def _read_all(parts: Parts, use: Callable[[pa.Table], object]) -> tuple[_Sum, list[Unreadable]]:
    """Give every part away: what they say, and what they lack."""
    found, unreadable = _Sum(), []
    for number in range(len(parts)):
        table = _read(parts, number)
        use(table)
        said = table.schema.metadata
        found.num_rows += len(table)
        found.num_kept += int(said[KEPT])
        found.num_known += int(said[KNOWN])
        unreadable += from_json(said[UNREADABLE])
    if not found.num_rows:
        listed = list_unreadable(parts.out, unreadable)
        remove_folder(parts.folder)
        raise EmbeddingError(f"none of {parts.num_images} images could be read; {listed} says why")
    return found, unreadable


def _read(parts: Parts, number: int) -> pa.Table:
    """A part. Raises EmbeddingError where it cannot be read, and removes it where the disk has
    changed it.
    """
    try:
        table = pq.read_table(parts.path(number), page_checksum_verification=True)
        said = {*(table.schema.metadata or {})}
        if not (is_of(parts.schema, table.schema) and {UNREADABLE, KEPT, KNOWN} <= said):
            raise ValueError("it says that it is something else")
        return table
    except (OSError, ValueError, pa.ArrowException) as error:
        if getattr(error, "errno", None) is not None:  # of the disk, not of what it holds
            if parts.is_placed:  # by another process, and the parts are gone
                raise
            raise EmbeddingError(
                f"{parts.path(number)} cannot be read ({reason_of(error)}); without that file "
                "the same command makes it again"
            ) from error
        parts.path(number).unlink()
        raise EmbeddingError(
            f"{parts.path(number)} was damaged on the disk ({error}), and is removed; the same "
            "command makes it again"
        ) from error
