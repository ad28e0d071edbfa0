"""An embedding is begun, gone on with, found finished, or brought up to date."""

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from stellar.data.folder import Stamped
from stellar.embedding.earlier import Earlier
from stellar.embedding.embedder import STRONGEST, Embedder, EmbeddingError, schema_of
from stellar.embedding.finishing import end_what_was_cut_short, tidy
from stellar.embedding.manifest import Manifest, Replaced, create, read_manifest
from stellar.embedding.parts import ALONE, PART_SIZE, Parts
from stellar.embedding.reading import files_of
from stellar.embedding.stamps import STAMPS, is_current, with_stamp_columns
from stellar.embedding.whole import Identity, Whole, identity, look_through
from stellar.json_text import parse_json
from stellar.processes.launch import Ranks
from stellar.storage import refusal, remove_folder, writing

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
logger = logging.getLogger(__name__)


def open_parts(
    out: Path,
    source: Stamped,
    embedder: Embedder,
    part_size: int = PART_SIZE,
    ranks: Ranks = ALONE,
) -> Parts:
    """What is done of an embedding, as this or an earlier call left it; its parts keep their size.

    Where `out` is what is asked for, nothing is missing. To be sure of that, the first of `ranks`
    asks all files when they were changed; to the others, names have to do. Where `out` is the same
    of images that have changed since, the rows of those that have not are taken over, and it is
    replaced when all parts are done.

    Raises EmbeddingError when `out` is something else, its folder does not exist, or the parts are
    of something else, and NotWritten for a name that no file can have.
    """
    out = out if out.name.strip(".") else out.resolve()  # what lies beside . needs its name
    with writing(out):
        if out.is_symlink() and out.is_dir():
            out = out.resolve()  # the link stays, and the folder that it leads to is replaced
    contents = {"images": len(source), "names": source.fingerprint(), **embedder.metadata}
    parts = Parts(out, with_stamp_columns(schema_of(contents)), len(source), part_size)
    with writing(out):
        while True:
            try:
                return _opened(parts, contents, source, ranks)
            except _ReplacedMeanwhile:
                pass


class _ReplacedMeanwhile(Exception):
    """Another process finished while this one looked."""


def _opened(parts: Parts, contents: dict[str, Any], source: Stamped, ranks: Ranks) -> Parts:
    """The parts of these contents, as they were found or begun now."""
    out = parts.out
    if out.exists() and identity(out) is None:
        raise EmbeddingError(f"{out} exists and is no embedding; choose another --out")
    if not out.parent.is_dir():
        raise EmbeddingError(
            f"the folder {out.parent} does not exist; create it, or choose another --out"
        )
    end_what_was_cut_short(parts)
    there = identity(out)
    manifest = _manifest(parts, there, contents, source, ranks)
    if there is not None:
        try:
            earlier = _earlier(parts, contents, source, ranks, manifest is not None)
        except (EmbeddingError, OSError) as error:
            if identity(out) != there:
                raise _ReplacedMeanwhile from error
            raise
        if earlier is None:
            return parts
        parts = replace(parts, replaced=Replaced(there, len(earlier)), earlier=earlier)
    if manifest is None:
        create(parts.folder, Manifest(parts.part_size, parts.replaced, contents), out)
        manifest = read_manifest(parts.folder)  # perhaps that of a faster process
    if manifest is None or identity(out) != there:
        raise _ReplacedMeanwhile
    return replace(parts, part_size=manifest.part_size, replaced=manifest.replaced)


def _manifest(
    parts: Parts,
    there: Identity | None,
    contents: dict[str, Any],
    source: Stamped,
    ranks: Ranks,
) -> Manifest | None:
    """That of the parts that are gone on with. What was left by a call that is over goes. So do
    parts of images that have changed since, where they cost time alone. Raises EmbeddingError for
    parts of something else.
    """
    if not parts.folder.exists() or (manifest := read_manifest(parts.folder)) is None:
        return None
    if not manifest.is_of(there):
        tidy(parts)
        return None
    apart = _apart(manifest.contents, contents)
    if not apart:
        if ranks.world_size == 1:  # else another process may be at work
            parts = replace(parts, part_size=manifest.part_size)
            parts.remove_stale(source)
        return manifest
    none_is_done = not any(parts.data.glob("*.parquet"))
    if ranks.world_size == 1 and (none_is_done or (apart == OTHER_IMAGES and there is not None)):
        if not none_is_done:
            logger.warning("the images changed again: what was made of %s is made anew", parts.out)
        remove_folder(parts.folder)
        return None
    raise EmbeddingError(f"{parts.folder} holds parts of an embedding {apart}; {CHOOSE}")


def _earlier(
    parts: Parts,
    contents: dict[str, Any],
    source: Stamped,
    ranks: Ranks,
    is_being_replaced: bool,
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
    whole = look_through(out, with_stamp_columns(schema_of(found)), found["images"])
    if found == contents and not is_being_replaced and _is_current(out, source, whole, ranks):
        return None
    if out.is_dir() and Path.cwd().is_relative_to(out.resolve()):
        raise EmbeddingError(
            f"{out} is the folder that this command runs in, so none can take its place; give the "
            "command somewhere else"
        )
    earlier = Earlier(out)
    if found != contents and not _has_any(earlier, source):
        raise EmbeddingError(
            f"{out} is an embedding {OTHER_IMAGES}, or all of them were changed; {CHOOSE}"
        )
    return earlier


def _is_current(out: Path, source: Stamped, whole: Whole, ranks: Ranks) -> bool:
    return ranks.rank > 0 or is_current(out, source, whole.unreadable)


def _has_any(earlier: Earlier, source: Stamped) -> bool:
    """Whether an image is as it was."""
    names = ((source.name(index), index) for index in range(len(source)))
    return any(
        earlier.row(name, source.stamp(index)) is not None
        for name, index in names
        if earlier.has(name)
    )


def _apart(found: dict[str, Any], asked: dict[str, Any]) -> str:
    """In what an embedding is not the one that is asked for; empty where it is."""
    differing = [field for field in APART if found.get(field) != asked.get(field)]
    if MODEL in differing:  # which decides how many tokens there are
        differing = [field for field in differing if APART[field] != OTHER_TOKENS]
    said = dict.fromkeys(APART[field] for field in differing)
    return " and ".join(said) or ("" if found == asked else "by another version of stellar")


def _contents(out: Path) -> object:
    """What a finished embedding says that it holds; None for anything else. Raises EmbeddingError
    for what may not be read.
    """
    file = next(iter(files_of(out)), out)
    try:
        schema = pq.read_schema(file)
        found = parse_json((schema.metadata or {})[b"stellar"])
        is_older = not {column.name for column in STAMPS} <= {*schema.names}
        return {**found, "is_older": True} if is_older else found
    except (OSError, LookupError, TypeError, ValueError, pa.ArrowException) as error:
        if refused := refusal(file, error):
            raise EmbeddingError(refused) from error
        return None
