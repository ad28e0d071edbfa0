"""An embedding on the disk to an index beside it, which holds what the embedding holds.

What has to change is found first (difference.py), from paths and hashes alone. Then pictures go,
and row groups come in one after the other (growing.py), so memory does not grow with their number.
What is in the index already is passed over, but for a size and a thumbnail that it lacks: that is
how a killed build goes on, and how an index follows its embedding.
"""

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from stellar.config import check_count
from stellar.embedding import describe_embeddings
from stellar.searching.difference import origin_of, rows_of, to_add, to_mirror
from stellar.searching.growing import Growing
from stellar.searching.originals import Originals, open_originals
from stellar.searching.tables import (
    CONCEPTS,
    GROWING,
    LOCK,
    WHOLE,
    WORDS,
    Contents,
    SearchError,
    lancedb,
    of_the_model,
    read_contents,
    writing_tables,
)
from stellar.searching.words import Words, as_words
from stellar.storage import at_home, locked, make_folder, permitted

EXACT_UP_TO = 20_000
"""Pictures up to which every token is looked at (docs/search.md has the times)."""
KNOWN = {WHOLE, GROWING, LOCK, WORDS, CONCEPTS, "pictures.lance", "tokens.lance"}
"""Names of what is in the folder of an index."""


@dataclass(frozen=True)
class IndexResult:
    """What `build_index` did."""

    folder: Path
    num_pictures: int
    """In the index now."""
    num_added: int
    """By this call: pictures whose paths are new."""
    num_replaced: int
    """By this call: pictures that are others now, under the same paths."""
    num_removed: int
    """By this call: pictures that the embedding has no more."""
    num_filled_in: int
    """Pictures from before that had no size and no thumbnail, and have them now."""
    num_without_thumbnail: int
    """Of the embedding's pictures, where `pictures` were given."""
    approximate: bool
    """Whether searches look at a part of the tokens."""
    words_replaced: bool
    """Whether the index knew other words before."""


def build_index(
    embedding: str | Path,
    out: str | Path,
    pictures: str | Path | None = None,
    exact_up_to: int = EXACT_UP_TO,
    words: Words | str | Path | None = None,
    add: bool = False,
    progress: Callable[[int, int], object] = lambda _done, _total: None,
) -> IndexResult:
    """Index what `embed` wrote, a file or a folder of parts, in the folder `out`.

    From then on `out` holds what the embedding does: pictures that it already held are passed over,
    so the same call goes on after a kill, those that are gone are forgotten, and those that are
    others now, under the same paths, are replaced. With `add` the embedding's pictures come beside
    what `out` holds, and such as came from it before are replaced where they are others now.
    `pictures`, the folder or the shards that were embedded, give sizes and thumbnails, also to
    those from before that have none. Above `exact_up_to` pictures an approximate index is trained
    as well. With `words` (words.py), or their file, texts find pictures. `progress` is called with
    (pictures that came in or were filled in, of how many).

    Raises EmbeddingError for what is no embedding; SearchError where `out` is something else or
    another model's, or the words are, where it would forget pictures and keep none as it is, or
    with `add` has another one under the same path, for an embedding without rows or with a path
    twice, and where `pictures` has none of its pictures; ShardError for shards that cannot be read;
    ConfigError for an `exact_up_to` that is no count; MissingPackage without LanceDB.
    """
    check_count(exact_up_to, "exact_up_to", least=0)
    folder, place = Path(at_home(out)), None if pictures is None else at_home(pictures)
    total, metadata = describe_embeddings(embedding)
    model = of_the_model(metadata)
    _check(folder, total, embedding)
    rows, origin = rows_of(embedding), origin_of(embedding)
    originals = None if place is None else _originals(place, rows)
    known = None if words is None else as_words(words)
    if known is not None:
        known.check(model)
    lancedb()  # no folder is left behind where it is missing
    with _alone(folder):
        growing = Growing(folder, _begun(folder, model, add))
        held = growing.held()
        change = (to_add if add else to_mirror)(held, rows, folder, embedding)
        growing.drop_other_kind()
        growing.belong(origin, beside=add)
        # In this order, so that a build that is killed between them has nothing more to forget, or
        # pictures that stay, and is not refused when it goes on.
        growing.remove(change.gone)
        growing.remove(change.replaced)
        filled_in = 0 if originals is None else growing.fill_in(originals, rows, progress)
        growing.take_in(embedding, change.wanted, rows, origin, originals, progress)
        words_replaced = known is not None and _save_words(known, folder / WORDS)
        growing.publish()  # before what may take long: searches are right from now on, then faster
        changed = len(change.wanted) + len(change.gone) + filled_in > 0
        growing.train(exact_up_to, changed=len(held.ids) > 0 and changed)
        contents = growing.contents
        without = 0 if originals is None else len(growing.without_thumbnail(rows))
    return IndexResult(
        folder, contents.num_pictures, change.num_new, len(change.replaced), len(change.gone),
        filled_in, without, contents.trained_on > 0, words_replaced,
    )  # fmt: skip


def _check(folder: Path, total: int, embedding: str | Path) -> None:
    if total == 0:
        raise SearchError(f"{embedding} has no pictures to index")
    with permitted(folder, SearchError):
        if not folder.parent.is_dir():
            raise SearchError(
                f"the folder {folder.parent} does not exist; create it, or choose another --out"
            )
        if folder.exists() and not (folder.is_dir() and _names(folder) <= KNOWN):
            raise SearchError(f"{folder} exists and is no index; choose another --out")


def _originals(pictures: str, paths: Collection[str]) -> Originals:
    """The pictures, of which at least one is there."""
    originals = open_originals(pictures)
    if not any(path in originals for path in paths):
        raise SearchError(
            f"expected the folder or the shards that were embedded, but {pictures} has none of the "
            f"{len(paths)} pictures, as {next(iter(paths))}; name what they are in, as it was "
            "embedded, or leave --pictures out"
        )
    return originals


def _save_words(words: Words, file: Path) -> bool:
    """Whether the file held others before. Raises NotWritten."""
    before = file.read_bytes() if file.exists() else None
    words.save(file)
    return before is not None and before != file.read_bytes()


def _names(folder: Path) -> set[str]:
    """Of what lies in a folder, but for hidden files, which a killed process may have left."""
    return {path.name for path in folder.iterdir() if not path.name.startswith(".")}


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """No other process builds in this folder."""
    with writing_tables(folder):
        make_folder(folder)
        try:
            lock = locked(folder / LOCK)
        except BlockingIOError:
            raise SearchError(f"another stellar index is at work in {folder}") from None
        with lock:
            yield


def _begun(folder: Path, model: dict[str, Any], add: bool) -> Contents:
    """What a call begins from: where one of its kind was stopped, else what was finished last, and
    else whatever was begun, which has forgotten nothing that anybody could search. Raises
    SearchError where that is another model's.
    """
    whole, stopped = read_contents(folder / WHOLE), read_contents(folder / GROWING)
    goes_on = stopped is not None and (whole is None or stopped.adding == add)
    found = (stopped if goes_on else whole) or Contents(model)
    for key, name in (("model_sha256", "model"), ("fit", "fit"), ("shapes", "shape")):
        if found.model[key] != model[key]:
            here, new = found.num_tokens, Contents(model).num_tokens
            tokens = f" ({here} tokens a picture, not {new})" if here != new else ""
            raise SearchError(
                f"{folder} is the index of another {name} than the embedding's{tokens}; choose "
                "another --out, or remove it"
            )
    return replace(found, adding=add)
