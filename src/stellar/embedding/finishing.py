"""Parts that are all done become the result, in one step, and what they say is summed up."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from stellar.embedding.embedder import EmbeddingError
from stellar.embedding.parts import KEPT, KNOWN, LAYOUT, UNREADABLE, Parts
from stellar.embedding.reading import files_of
from stellar.embedding.whole import count_rows, is_of, unreadable_of
from stellar.json_text import parse_json
from stellar.storage import one_line, place_file, reason_of, remove_folder, sync, write_file


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
    """Images that the embedding before had, and the folder has no more."""


def finish(parts: Parts) -> EmbedResult:
    """All parts as the result, in one step; then the folder of parts goes. Raises
    EmbeddingError, and leaves no result, where not one picture could be read, and where a part
    was damaged; also where a result that was there before is not what was asked for.
    """
    taken = None
    try:
        if not parts.is_placed:
            _require_parts_alone(parts)
            taken = _place(parts)
    except OSError:
        if not parts.is_placed:  # else another process placed it
            raise
    num_rows = count_rows(parts.out, parts.schema, parts.num_images)
    if parts.folder.exists():
        with suppress(FileNotFoundError):  # another process was faster
            _move_others(parts)
            remove_folder(parts.folder)
    kept, known = taken or (num_rows, 0)
    gone = parts.before.num_rows - known if parts.before and taken else 0
    return EmbedResult(parts.out, num_rows, parts.num_images - num_rows, kept, gone)


def _require_parts_alone(parts: Parts) -> None:
    """Raises EmbeddingError for a file of somebody else, which readers would take for one."""
    own = {parts.path(number).name for number in range(len(parts))}
    for file in parts.data.iterdir():
        if file.name not in own and not file.name.startswith("."):
            raise EmbeddingError(f"{file} is no part of this embedding; move it away")


def _look_through(parts: Parts, use: Callable[[pa.Table], object]) -> tuple[int, int]:
    """Give every part away, and list what they lack. How many of their pictures were taken
    over, and how many the embedding before knew.
    """
    lines, num_rows, kept, known = [], 0, 0, 0
    for number in range(len(parts)):
        table = _read(parts, number)
        use(table)
        num_rows += len(table)
        kept += int(table.schema.metadata[KEPT])
        known += int(table.schema.metadata[KNOWN])
        lines += [
            f"{one_line(name)}\t{one_line(reason)}\n"
            for name, reason in parse_json(table.schema.metadata[UNREADABLE])
        ]
    if lines:
        write_file(unreadable_of(parts.out), "".join(lines))
    else:
        unreadable_of(parts.out).unlink(missing_ok=True)
    if not num_rows:
        remove_folder(parts.folder)
        raise EmbeddingError(
            f"none of {parts.num_images} images could be read; {unreadable_of(parts.out)} says why"
        )
    return kept, known


def _place(parts: Parts) -> tuple[int, int]:
    """As `_look_through`."""
    if parts.out.suffix == ".parquet":
        # Beside the parts, so that it goes with them where a kill leaves it half-written.
        return place_file(parts.out, partial(_join, parts), staging=parts.folder)
    found = _look_through(parts, lambda _table: None)  # each is whole
    if parts.out.exists():
        parts.out.replace(parts.replaced)  # and goes with the parts
    parts.data.replace(parts.out)
    sync(parts.out.parent)
    return found


def _move_others(parts: Parts) -> None:
    """What users keep in a folder beside its rows moves to the one that replaced it."""
    if parts.replaced.exists():
        rows = files_of(parts.replaced)
        for file in parts.replaced.iterdir():
            if file not in rows:
                file.replace(parts.out / file.name)


def _join(parts: Parts, path: Path) -> tuple[int, int]:
    with pq.ParquetWriter(path, parts.schema, **LAYOUT) as writer:
        return _look_through(parts, writer.write_table)


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
