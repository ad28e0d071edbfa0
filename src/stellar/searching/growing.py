"""The tables of an index while it is built: rows come in, each group of them committed before the
next (tables.py), pictures get thumbnails, and many tokens an approximate index.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from stellar.embedding import Embeddings, row_groups
from stellar.model.finite import check_finite
from stellar.searching.originals import Originals
from stellar.searching.places import places
from stellar.searching.tables import (
    GROWING,
    LOCK,
    WHOLE,
    Contents,
    connect,
    damaged,
    reading,
    schemas,
    write_contents,
)
from stellar.searching.thumbnails import Thumbnail, thumbnail_of, thumbnails
from stellar.storage import sync

TOKENS_A_CELL, SAMPLES_A_CELL = 1600, 64
"""Of the approximate index, which looks at some cells only: how large they are, and how many tokens
for each decide where they lie."""
FILLED_AT_ONCE = 1024
"""Pictures that get their thumbnails, and are committed, together."""
A_DAY, FOR_GOOD = timedelta(days=1), timedelta(days=36_500)
"""How long versions are kept; LanceDB, not told, removes them after a week."""


class Growing:
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
        originals: Originals | None,
        total: int,
        progress: Callable[[int, int], object],
    ) -> None:
        """Add the rows whose paths are new."""
        known, seen = self._paths(), 0
        for group in row_groups(embedding):
            seen += len(group.paths)
            new = [row for row, path in enumerate(group.paths) if path not in known]
            if new:
                self._add(_rows(group, new), originals)
                known.update(group.paths)
            progress(seen, total)

    def fill_in(self, originals: Originals, progress: Callable[[int, int], object]) -> int:
        """Give sizes and thumbnails to the pictures that have none; the number of those that have
        them now. The table is written anew, as its rows have to stay in their order; who searches
        reads the version from before, and who was killed goes on with the version it had filled.
        """
        lacking = self.without_thumbnail()
        if not any(thumbnail_of(originals, path).jpeg for path in lacking):
            return 0
        schema = schemas(self.contents.model)["pictures"]
        filled = _at_version(self.folder, "pictures", self.contents.filled, schema)
        done = filled.count_rows()
        for batch in self._picture_rows(done):
            filled.add(_filled_in(batch, originals))
            self._commit(filled=filled.version)
            done += len(batch)
            progress(done, self.contents.num_pictures)
        self._tables["pictures"] = filled
        self._commit()
        return len(lacking) - len(self.without_thumbnail())

    def without_thumbnail(self) -> list[str]:
        """The paths of pictures that have none, and no size."""
        query = self._tables["pictures"].search().where("width IS NULL")
        with reading(self.folder):
            return query.select(["path"]).limit(None).to_arrow()["path"].to_pylist()

    def _picture_rows(self, first: int) -> Iterator[pa.RecordBatch]:
        """In their order, without those before the `first`."""
        with reading(self.folder):
            rows = self._tables["pictures"].search().limit(None).offset(first)
            yield from rows.to_batches(FILLED_AT_ONCE)

    def _add(self, group: Embeddings, originals: Originals | None) -> None:
        columns = {
            "path": pa.array(group.paths),
            "cls": _lists(group.cls),
            **_columns_of(thumbnails(originals, group.paths)),
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
            self._optimize(FOR_GOOD)
            self._commit()
        self.publish()
        if grown:
            self._optimize(A_DAY)

    def _optimize(self, keep: timedelta) -> None:
        """Let the approximate index take in what is new, and versions go that are older than `keep`
        and not the last ones: searches have to read these by then.
        """
        for table in self._tables.values():
            table.optimize(cleanup_older_than=keep)

    def publish(self) -> None:
        """What was committed is what is searched from now on."""
        if (self.folder / GROWING).exists():
            for file in self.folder.rglob("*"):
                if file.name != LOCK:  # which is given up by whoever opens and closes it again
                    sync(file)
            (self.folder / GROWING).replace(self.folder / WHOLE)
            sync(self.folder)

    def _commit(self, filled: int = 0, **changed: int) -> None:
        versions = {name: table.version for name, table in self._tables.items()}
        self.contents = replace(self.contents, filled=filled, **versions, **changed)
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
    """Some rows. Raises UserError for tokens and maps that are not finite."""
    chosen = Embeddings(
        [group.paths[row] for row in rows],
        group.cls[rows],
        group.tokens[rows],
        group.maps[rows],
        group.metadata,
    )
    check_finite("tokens", chosen.tokens, chosen.paths.__getitem__)
    check_finite("maps", chosen.maps, chosen.paths.__getitem__)
    return chosen


def _columns_of(small: list[Thumbnail]) -> dict[str, pa.Array]:
    """What the table of pictures has of their files."""
    return {
        "width": pa.array([each.width for each in small], pa.int32()),
        "height": pa.array([each.height for each in small], pa.int32()),
        "thumbnail": pa.array([each.jpeg for each in small], pa.binary()),
    }


def _filled_in(rows: pa.RecordBatch, originals: Originals) -> pa.Table:
    """Rows of pictures, with what was lacking of their files."""
    paths, *known = (rows[name].to_pylist() for name in ("path", "thumbnail", "width", "height"))
    before = [Thumbnail(*each) for each in zip(*known, strict=True)]
    lacking = [path for path, each in zip(paths, before, strict=True) if each.width is None]
    new = iter(thumbnails(originals, lacking))
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
