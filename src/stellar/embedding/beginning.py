"""An embedding is begun, gone on with, found finished, or brought up to date: the manifest beside
it says what its parts are parts of.
"""

import json
import shutil
from contextlib import suppress
from dataclasses import astuple, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from stellar.data.folder import Stamped
from stellar.embedding.earlier import STAMPS, Earlier, is_current, with_stamp_columns
from stellar.embedding.embedder import STRONGEST, Embedder, EmbeddingError, schema_of
from stellar.embedding.parts import PART_SIZE, Before, Parts
from stellar.embedding.reading import files_of
from stellar.embedding.whole import count_rows
from stellar.json_text import parse_json
from stellar.storage import hidden, make_folder, write_file, writing

MANIFEST, BEFORE = "manifest.json", "before"
CHOOSE = "remove it, or choose another --out"
MODEL, OTHER_TOKENS, OTHER_IMAGES = "model_sha256", "with other --tokens", "of other images"
APART = {
    "images": OTHER_IMAGES,
    "names": OTHER_IMAGES,
    MODEL: "of another model",
    "fit": "with another --fit",
    "shapes": OTHER_TOKENS,
    STRONGEST: OTHER_TOKENS,
}
"""What is said of an embedding, by the field of its metadata that is not as asked for."""


def open_parts(
    out: Path,
    source: Stamped,
    embedder: Embedder,
    part_size: int = PART_SIZE,
    thorough: bool = True,
) -> Parts:
    """What is done of an embedding, as this or an earlier call left it; its parts keep their size.

    Where `out` is what is asked for, nothing is missing. To be sure of that the files of all
    pictures are asked when they were changed; where not `thorough`, as in all processes but one,
    their names have to do. Where `out` is the same of pictures that have changed since, and some of
    them have not, their rows are taken over, and it is replaced when all parts are done.

    Raises EmbeddingError when `out` is something else, its folder does not exist, or the parts are
    of something else, and NotWritten for a name that no file can have.
    """
    out = out if out.name.strip(".") else out.resolve()  # what lies beside . needs its name
    contents = {"images": len(source), "names": source.fingerprint(), **embedder.metadata}
    parts = Parts(out, with_stamp_columns(schema_of(contents)), len(source), part_size)
    with writing(out):
        return _begun(parts, contents, source, thorough)


def _begun(parts: Parts, contents: dict[str, Any], source: Stamped, thorough: bool) -> Parts:
    """The parts of these contents, as they were found or begun now."""
    out, number = parts.out, _number(parts.out)
    if number is not None:
        try:
            earlier = _earlier(parts, number, contents, source, thorough)
        except EmbeddingError:
            if _number(out) == number:
                raise
            return _begun(parts, contents, source, thorough)  # it was replaced meanwhile
        if earlier is None:
            return parts
        parts = replace(parts, before=Before(number, len(earlier)), earlier=earlier)
    if not out.parent.is_dir():
        raise EmbeddingError(
            f"the folder {out.parent} does not exist; create it, or choose another --out"
        )
    if not parts.folder.exists():
        before = None if parts.before is None else astuple(parts.before)
        _create(parts.folder, {"part_size": parts.part_size, BEFORE: before, **contents})
    if _number(out) != number:  # finished between the two looks, so the folder may be gone or new
        return _begun(replace(parts, before=None, earlier=None), contents, source, thorough)
    return _gone_on_with(parts, contents)


def _earlier(
    parts: Parts, number: int, contents: dict[str, Any], source: Stamped, thorough: bool
) -> Earlier | None:
    """What is there already, to be brought up to date; None where it is what is asked for. Raises
    EmbeddingError where it is neither.
    """
    out, found = parts.out, _contents(parts.out)
    if not isinstance(found, dict):  # something else, perhaps the pictures themselves
        raise EmbeddingError(f"{out} exists and is no embedding; choose another --out")
    here = {key: found.get(key) for key in ("images", "names")}
    if apart := _apart(found, {**contents, **here}):
        raise EmbeddingError(f"{out} is an embedding {apart}; {CHOOSE}")
    count_rows(out, with_stamp_columns(schema_of(found)), found["images"])
    finished = found == contents and not _is_being_replaced(parts, number)
    if finished and (not thorough or is_current(out, source)):
        return None
    earlier, pictures = Earlier(out), range(len(source))
    if all(earlier.row(source.name(i), source.stamp(i)) is None for i in pictures):
        raise EmbeddingError(
            f"{out} is an embedding {OTHER_IMAGES}, or all of them were changed; {CHOOSE}"
        )
    return earlier


def _gone_on_with(parts: Parts, contents: dict[str, Any]) -> Parts:
    """As the manifest has them. Raises EmbeddingError for parts of something else."""
    folder, manifest = parts.folder, _manifest(parts.folder)
    part_size, before = manifest.pop("part_size"), manifest.pop(BEFORE)
    if apart := _apart(manifest, contents):
        raise EmbeddingError(f"{folder} holds parts of an embedding {apart}; {CHOOSE}")
    if parts.before not in (None, before):
        raise EmbeddingError(
            f"{folder} holds parts that were begun before {parts.out} was changed; {CHOOSE}"
        )
    return replace(parts, part_size=part_size, before=before)


def _is_being_replaced(parts: Parts, number: int) -> bool:
    """Whether parts of what will replace this are there."""
    if not parts.folder.exists():
        return False
    before = _manifest(parts.folder)[BEFORE]
    return before is not None and before.number == number


def _number(out: Path) -> int | None:
    """Of the place on the disk that has this name; None where there is none."""
    return out.stat().st_ino if out.exists() else None


def _apart(found: dict[str, Any], asked: dict[str, Any]) -> str:
    """In what an embedding is not the one that is asked for; empty where it is."""
    differing = [field for field in APART if found.get(field) != asked.get(field)]
    if MODEL in differing:  # which decides how many tokens there are
        differing = [field for field in differing if APART[field] != OTHER_TOKENS]
    said = dict.fromkeys(APART[field] for field in differing)
    return " and ".join(said) or ("" if found == asked else "by another version of stellar")


def _manifest(folder: Path) -> dict[str, Any]:
    """What the parts in a folder are parts of. Raises EmbeddingError where that is not said."""
    try:
        manifest = parse_json((folder / MANIFEST).read_text("utf-8"))
        before = manifest[BEFORE]
        if isinstance(manifest["part_size"], int) and manifest["part_size"] > 0:
            return {**manifest, BEFORE: None if before is None else Before(*before)}
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        pass
    raise EmbeddingError(
        f"{folder} does not say what it holds parts of ({MANIFEST} is missing or damaged); remove "
        "it, and they are made again, or choose another --out"
    )


def _contents(out: Path) -> object:
    """What a finished embedding says that it holds; None for anything else."""
    try:
        schema = pq.read_schema(files_of(out)[0])
        found = parse_json((schema.metadata or {})[b"stellar"])
        is_older = not {column.name for column in STAMPS} <= {*schema.names}
        return {**found, "is_older": True} if is_older else found
    except (OSError, LookupError, TypeError, ValueError, pa.ArrowException):
        return None


def _create(folder: Path, manifest: dict[str, Any]) -> None:
    """The folder appears with its manifest in it; of several processes, one makes it."""
    temporary = hidden(folder)
    try:
        make_folder(temporary)
        write_file(temporary / MANIFEST, json.dumps(manifest))
        with suppress(OSError):  # another process was faster
            temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
