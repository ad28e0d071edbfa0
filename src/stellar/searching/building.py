"""An embedding on the disk to an index beside it.

Row groups come in one after the other, and each is committed before the next (tables.py), so memory
does not grow with their number. Pictures that are in the index already, by their paths, are passed
over, but for a size and a thumbnail that they lack: that is how a killed build goes on, and how an
index grows with its embedding.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from stellar.config import check_count
from stellar.embedding import Embeddings, describe_embeddings, embedded_paths, row_groups
from stellar.searching.places import places
from stellar.searching.tables import (
    GROWING,
    LOCK,
    WHOLE,
    WORDS,
    Contents,
    SearchError,
    connect,
    damaged,
    of_the_model,
    read_contents,
    reading,
    schemas,
    write_contents,
    writing_tables,
)
from stellar.searching.thumbnails import (
    Thumbnail,
    picture_below,
    thumbnail_below,
    thumbnails,
)
from stellar.searching.words import Words, as_words
from stellar.storage import at_home, locked, sync

EXACT_UP_TO = 20_000
"""Pictures up to which every token is looked at (docs/search.md has the times)."""
TOKENS_A_CELL, SAMPLES_A_CELL = 1600, 64
"""Of the approximate index, which looks at some cells only: how large they are, and how many tokens
for each decide where they lie."""


KNOWN = {WHOLE, GROWING, LOCK, WORDS, "pictures.lance", "tokens.lance"}
"""Names of what is in the folder of an index."""


@dataclass(frozen=True)
class IndexResult:
    """What `build_index` did."""

    folder: Path
    num_pictures: int
    """In the index now."""
    num_added: int
    """By this call."""
    num_filled_in: int
    """Pictures from before that had no size and no thumbnail, and have them now."""
    num_without_thumbnail: int
    """In the index now, where a folder of pictures was given."""
    approximate: bool
    """Whether searches look at a part of the tokens."""


def build_index(
    embedding: str | Path,
    out: str | Path,
    pictures: str | Path | None = None,
    exact_up_to: int = EXACT_UP_TO,
    words: Words | str | Path | None = None,
    progress: Callable[[int, int], object] = lambda _done, _total: None,
) -> IndexResult:
    """Index what `embed` wrote, a file or a folder of parts, in the folder `out`.

    Pictures that `out` already holds are passed over, so the same call goes on after a kill, and
    adds what an embedding has gained. `pictures`, the folder that was embedded, gives sizes and
    thumbnails, also to pictures from before that have none. Above `exact_up_to` pictures an
    approximate index is trained as well. With `words` (words.py), or their file, texts find
    pictures. `progress` is called with (pictures looked at, in all).

    Raises EmbeddingError for what is no embedding; SearchError where `out` is something else or
    another model's, or the words are, for an embedding without rows, and where `pictures` has none
    of its pictures; ConfigError for an `exact_up_to` that is no count; MissingPackage without
    LanceDB.
    """
    check_count(exact_up_to, "exact_up_to", least=0)
    folder, source = Path(at_home(out)), None if pictures is None else Path(at_home(pictures))
    total, metadata = describe_embeddings(embedding)
    model = of_the_model(metadata)
    _check(folder, source, total, embedding)
    known = None if words is None else as_words(words)
    if known is not None:
        known.check(model)
    connect(folder)  # no folder is left behind where LanceDB is missing
    with _alone(folder):
        growing = _Growing(folder, _begun(folder, model))
        before = growing.contents.num_pictures
        filled_in = 0 if source is None else growing.fill_in(source, progress)
        growing.take_in(embedding, source, total, progress)
        if known is not None:
            known.save(folder / WORDS)
        growing.publish()  # before what may take long: searches are right from now on, then faster
        added = growing.contents.num_pictures - before
        growing.train(exact_up_to, grown=before > 0 and added + filled_in > 0)
        contents = growing.contents
        without = 0 if source is None else len(growing.without_thumbnail())
    return IndexResult(
        folder, contents.num_pictures, added, filled_in, without, contents.trained_on > 0
    )


def _check(folder: Path, pictures: Path | None, total: int, embedding: str | Path) -> None:
    if total == 0:
        raise SearchError(f"{embedding} has no pictures to index")
    if pictures is not None and not pictures.is_dir():
        raise SearchError(f"expected the folder of the pictures, but {pictures} is not a folder")
    if pictures is not None and not any(
        picture_below(pictures, path) for path in embedded_paths(embedding)
    ):
        raise SearchError(
            f"expected the folder that was embedded, but {pictures} has none of the {total} "
            f"pictures, as {next(embedded_paths(embedding))}; name the folder that they are in, or "
            "leave --pictures out"
        )
    if not folder.parent.is_dir():
        raise SearchError(
            f"the folder {folder.parent} does not exist; create it, or choose another --out"
        )
    if folder.exists() and not (folder.is_dir() and _names(folder) <= KNOWN):
        raise SearchError(f"{folder} exists and is no index; choose another --out")


def _names(folder: Path) -> set[str]:
    """Of what lies in a folder, but for hidden files, which a killed process may have left."""
    return {path.name for path in folder.iterdir() if not path.name.startswith(".")}


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """No other process builds in this folder."""
    with writing_tables(folder):
        folder.mkdir(exist_ok=True)
        try:
            lock = locked(folder / LOCK)
        except BlockingIOError:
            raise SearchError(f"another stellar index is at work in {folder}") from None
        with lock:
            yield


def _begun(folder: Path, model: dict[str, Any]) -> Contents:
    """What was reached before. Raises SearchError where that is another model's."""
    found = read_contents(folder / GROWING) or read_contents(folder / WHOLE) or Contents(model)
    for key, name in (("model_sha256", "model"), ("fit", "fit"), ("shapes", "shape")):
        if found.model[key] != model[key]:
            raise SearchError(
                f"{folder} is the index of another {name} than the embedding's; choose another "
                "--out, or remove it"
            )
    return found


class _Growing:
    """The tables of an index that is being built."""

    def __init__(self, folder: Path, contents: Contents) -> None:
        self.folder, self.contents = folder, contents
        self._tables = {
            name: _at_version(folder, name, getattr(contents, name), schema)
            for name, schema in schemas(contents.model).items()
        }

    def _paths(self) -> set[str]:
        """Of the pictures that are there. Raises SearchError where files of a table are missing or
        cut off: a column of each is read.
        """
        with reading(self.folder):
            pictures = self._tables["pictures"].search().select(["path"]).limit(None).to_arrow()
            found = len(pictures), self._tables["tokens"].count_rows("token = 0")
        if found != (expected := (self.contents.num_pictures,) * 2):
            raise damaged(self.folder, f"it has {found} of {expected} pictures")
        return set(pictures["path"].to_pylist())

    def take_in(
        self,
        embedding: str | Path,
        pictures: Path | None,
        total: int,
        progress: Callable[[int, int], object],
    ) -> None:
        """Add the rows whose paths are new."""
        known, seen = self._paths(), 0
        for group in row_groups(embedding):
            seen += len(group.paths)
            new = [row for row, path in enumerate(group.paths) if path not in known]
            if new:
                self._add(_rows(group, new), pictures)
                known.update(group.paths)
            progress(seen, total)

    def fill_in(self, pictures: Path, progress: Callable[[int, int], object]) -> int:
        """Give sizes and thumbnails to the pictures that have none; the number of those that have
        them now. The table is written anew, as its rows have to stay in their order; who searches
        reads the version from before.
        """
        lacking = self.without_thumbnail()
        if not any(thumbnail_below(pictures, path).jpeg for path in lacking):
            return 0
        rows, done = self._picture_rows(), 0
        table = connect(self.folder).create_table(
            "pictures", schema=schemas(self.contents.model)["pictures"], mode="overwrite"
        )
        for batch in rows:
            table.add(_filled_in(batch, pictures))
            done += len(batch)
            progress(done, self.contents.num_pictures)
        self._tables["pictures"] = table
        self._commit()
        return len(lacking) - len(self.without_thumbnail())

    def without_thumbnail(self) -> list[str]:
        """The paths of pictures that have none, and no size."""
        query = self._tables["pictures"].search().where("width IS NULL")
        with reading(self.folder):
            return query.select(["path"]).limit(None).to_arrow()["path"].to_pylist()

    def _picture_rows(self) -> Iterator[pa.RecordBatch]:
        """In their order."""
        with reading(self.folder):
            yield from self._tables["pictures"].search().limit(None).to_batches()

    def _add(self, group: Embeddings, pictures: Path | None) -> None:
        columns = {
            "path": pa.array(group.paths),
            "cls": _lists(group.cls),
            **_columns_of(thumbnails(pictures, group.paths)),
        }
        first = self.contents.num_pictures
        self._tables["tokens"].add(pa.table(_token_columns(group, first)))
        self._tables["pictures"].add(pa.table(columns))
        self._commit(num_pictures=first + len(group.paths))

    def train(self, exact_up_to: int, grown: bool) -> None:
        """The approximate index: made where it is needed and missing, or the data has doubled since
        it was; else it takes in what is new, and versions of more than a day ago go.
        """
        count, trained_on = self.contents.num_pictures, self.contents.trained_on
        if count > max(exact_up_to, 2 * trained_on):
            cells = max(1, count * self.contents.num_tokens // TOKENS_A_CELL)
            quantised = import_module("lancedb.index").IvfSq(
                distance_type="cosine", num_partitions=cells, sample_rate=SAMPLES_A_CELL
            )
            self._tables["tokens"].create_index("sparse", config=quantised)
            self._commit(trained_on=count)
        elif grown:
            for table in self._tables.values():
                table.optimize(cleanup_older_than=timedelta(days=1))
            self._commit()
        self.publish()

    def publish(self) -> None:
        """What was committed is what is searched from now on."""
        if (self.folder / GROWING).exists():
            for file in self.folder.rglob("*"):
                sync(file)
            (self.folder / GROWING).replace(self.folder / WHOLE)
            sync(self.folder)

    def _commit(self, **changed: int) -> None:
        versions = {name: table.version for name, table in self._tables.items()}
        self.contents = replace(self.contents, **versions, **changed)
        write_contents(self.folder / GROWING, self.contents)


def _at_version(folder: Path, name: str, version: int, schema: pa.Schema) -> Any:
    """A table as it was at a version, whatever was begun after it; a new one for 0."""
    database = connect(folder)
    if version == 0:
        return database.create_table(name, schema=schema, mode="overwrite")
    with reading(folder):
        table = database.open_table(name)
        if table.version == version:
            return table
        table.checkout(version)
    table.restore()
    return table


def _rows(group: Embeddings, rows: list[int]) -> Embeddings:
    """Some rows. Raises SearchError for tokens that are not finite."""
    chosen = Embeddings(
        [group.paths[row] for row in rows],
        group.cls[rows],
        group.tokens[rows],
        group.maps[rows],
        group.metadata,
    )
    finite = np.isfinite(chosen.tokens).all(axis=(1, 2)) & np.isfinite(chosen.maps).all((1, 2, 3))
    if not finite.all():
        raise SearchError(
            f"the tokens of {chosen.paths[int(finite.argmin())]} are not finite numbers; embed the "
            "pictures with a model that is whole"
        )
    return chosen


def _columns_of(small: list[Thumbnail]) -> dict[str, pa.Array]:
    """What the table of pictures has of their files."""
    return {
        "width": pa.array([each.width for each in small], pa.int32()),
        "height": pa.array([each.height for each in small], pa.int32()),
        "thumbnail": pa.array([each.jpeg for each in small], pa.binary()),
    }


def _filled_in(rows: pa.RecordBatch, pictures: Path) -> pa.Table:
    """Rows of pictures, with what was lacking of their files."""
    paths, *known = (rows[name].to_pylist() for name in ("path", "thumbnail", "width", "height"))
    before = [Thumbnail(*each) for each in zip(*known, strict=True)]
    lacking = [path for path, each in zip(paths, before, strict=True) if each.width is None]
    new = iter(thumbnails(pictures, lacking))
    small = [next(new) if each.width is None else each for each in before]
    return pa.table({"path": rows["path"], "cls": rows["cls"], **_columns_of(small)})


def _token_columns(group: Embeddings, first: int) -> dict[str, pa.Array]:
    """A row for each token of pictures that are numbered from `first` on."""
    count, num_tokens = group.tokens.shape[:2]
    where = places(group.maps)
    return {
        "picture": pa.array(np.repeat(np.arange(first, first + count), num_tokens)),
        "token": pa.array(np.tile(np.arange(num_tokens, dtype=np.int32), count)),
        "sparse": _lists(group.tokens.reshape(count * num_tokens, -1)),
        "centre": _lists(where.centre.reshape(-1, 2)),
        "spread": pa.array(where.spread.ravel()),
        "box": _lists(where.box.reshape(-1, 4)),
        "share": pa.array(where.share.ravel()),
        "map": _lists(group.maps.reshape(count * num_tokens, -1)),
    }


def _lists(rows: np.ndarray) -> pa.Array:
    """Rows of numbers as lists of one length."""
    return pa.FixedSizeListArray.from_arrays(pa.array(rows.ravel()), rows.shape[1])
