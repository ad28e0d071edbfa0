"""The tables of an index while it is built: rows go, others come in, each group of them committed
before the next (tables.py), pictures get thumbnails, and many tokens an approximate index.
"""

from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from stellar.embedding import Embeddings, row_groups
from stellar.searching.columns import check_numbers, filled_in, picture_rows, token_rows
from stellar.searching.difference import Held
from stellar.searching.originals import Originals
from stellar.searching.tables import (
    GROWING,
    LOCK,
    WHOLE,
    Contents,
    connect,
    damaged,
    read_contents,
    reading,
    schemas,
    write_contents,
)
from stellar.searching.thumbnails import thumbnail_of
from stellar.storage import sync

TOKENS_A_CELL, SAMPLES_A_CELL = 1600, 64
"""Of the approximate index, which looks at some cells only: how large they are, and how many tokens
for each decide where they lie."""
REMOVED_AT_ONCE = 10_000
"""Pictures that are named together to be removed."""
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

    def held(self) -> Held:
        """The pictures that are there. Raises SearchError where files of a table are missing or cut
        off: a column of each is read.
        """
        columns = ["picture", "path", "row", "origin"]
        hashes: dict[str, int] = {}
        ids, origins = [np.zeros(0, np.int64)], []
        with reading(self.folder):
            for batch in self._tables["pictures"].search().select(columns).limit(None).to_batches():
                paths, rows = batch["path"].to_pylist(), batch["row"].to_pylist()
                hashes.update(zip(paths, rows, strict=True))
                ids.append(batch["picture"].to_numpy())
                origins += [self.contents.origins[place] for place in batch["origin"].to_pylist()]
            found = len(hashes), self._tables["tokens"].count_rows("token = 0")
        if found != (expected := (self.contents.num_pictures,) * 2):
            raise damaged(self.folder, f"it has {found} of {expected} pictures")
        return Held(hashes, np.concatenate(ids), origins)

    def belong(self, origin: str, beside: bool) -> None:
        """From now on pictures come from this embedding; so do those that are there, unless it
        comes `beside` theirs.
        """
        before = self.contents.origins
        if not beside:
            origins = (origin,) * max(1, len(before))
        else:
            origins = before if origin in before else (*before, origin)
        if origins != before:
            self.contents = replace(self.contents, origins=origins)
            if before:  # else there is no version to be named yet
                self._commit()

    def drop_other_kind(self) -> None:
        """Drop what a call of the other kind, with or without `add`, had reached when it was
        stopped: this one did not begin there.
        """
        found = read_contents(self.folder / GROWING)
        other = found is not None and found.adding != self.contents.adding
        if other and (self.folder / WHOLE).exists():
            (self.folder / GROWING).unlink()

    def remove(self, ids: list[int]) -> None:
        """Forget pictures. What is half removed when a build is killed, is there again when it goes
        on: no version that is named lacks it.
        """
        for start in range(0, len(ids), REMOVED_AT_ONCE):
            some = ids[start : start + REMOVED_AT_ONCE]
            for table in self._tables.values():
                table.delete(f"picture IN ({', '.join(map(str, some))})")
            self._commit(num_pictures=self.contents.num_pictures - len(some))

    def take_in(
        self,
        embedding: str | Path,
        wanted: set[str],
        hashes: Mapping[str, int],
        origin: str,
        originals: Originals | None,
        progress: Callable[[int, int], object],
    ) -> None:
        """Add the rows with these paths; the hashes are by path."""
        done = 0
        for group in row_groups(embedding, wanted) if wanted else ():
            self._add(group, hashes, origin, originals)
            done += len(group.paths)
            progress(done, len(wanted))

    def fill_in(
        self,
        originals: Originals,
        among: Container[str],
        progress: Callable[[int, int], object],
    ) -> int:
        """Give sizes and thumbnails to the pictures among some paths that have none; the number of
        those that have them now. The table is written anew, in its order; who searches reads the
        version from before, and who was killed goes on with the version it had filled.
        """
        lacking = self.without_thumbnail(among)
        if not any(thumbnail_of(originals, path).jpeg for path in lacking):
            return 0
        schema = schemas(self.contents.model)["pictures"]
        filled = _at_version(self.folder, "pictures", self.contents.filled, schema)
        done = filled.count_rows()
        for batch in self._picture_rows(done):
            filled.add(filled_in(batch, originals, among))
            self._commit(filled=filled.version)
            done += len(batch)
            progress(done, self.contents.num_pictures)
        self._tables["pictures"] = filled
        self._commit()
        return len(lacking) - len(self.without_thumbnail(among))

    def without_thumbnail(self, among: Container[str]) -> list[str]:
        """Which of some paths are of pictures that have none, and no size."""
        query = self._tables["pictures"].search().where("width IS NULL")
        with reading(self.folder):
            lacking = query.select(["path"]).limit(None).to_arrow()["path"].to_pylist()
        return [path for path in lacking if path in among]

    def _picture_rows(self, first: int) -> Iterator[pa.RecordBatch]:
        """In their order, without those before the `first`."""
        with reading(self.folder):
            rows = self._tables["pictures"].search().limit(None).offset(first)
            yield from rows.to_batches(FILLED_AT_ONCE)

    def _add(
        self,
        group: Embeddings,
        hashes: Mapping[str, int],
        origin: str,
        originals: Originals | None,
    ) -> None:
        check_numbers(group)
        first, count = self.contents.next_id, len(group.paths)
        place = self.contents.origins.index(origin)
        self._tables["tokens"].add(token_rows(group, first))
        self._tables["pictures"].add(picture_rows(group, hashes, place, first, originals))
        self._commit(num_pictures=self.contents.num_pictures + count, next_id=first + count)

    def train(self, exact_up_to: int, changed: bool) -> None:
        """The approximate index: made where it is needed and missing, or the data has doubled or
        halved since it was; else it takes in what is new, and versions of more than a day ago go.
        Where less than half is left, and few enough for exact searches, it serves no more. New is
        also what it has not taken in because a call was stopped before it came to this.
        """
        count, trained_on = self.contents.num_pictures, self.contents.trained_on
        changed = changed or (trained_on > 0 and self._is_behind())
        halved = 2 * count < trained_on
        if count > exact_up_to and (halved or count > 2 * trained_on):
            cells = max(1, count * self.contents.num_tokens // TOKENS_A_CELL)
            quantised = import_module("lancedb.index").IvfSq(
                distance_type="cosine", num_partitions=cells, sample_rate=SAMPLES_A_CELL
            )
            self._tables["tokens"].create_index("sparse", config=quantised)
            self._commit(trained_on=count)
        elif changed or halved:
            self._optimize(FOR_GOOD)
            self._commit(trained_on=0 if halved else trained_on)
        self.publish()
        if changed:
            self._optimize(A_DAY)

    def _is_behind(self) -> bool:
        """Whether there are tokens that the approximate index does not know."""
        tokens = self._tables["tokens"]
        stats = [tokens.index_stats(index.name) for index in tokens.list_indices()]
        return any(each is not None and each.num_unindexed_rows > 0 for each in stats)

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
