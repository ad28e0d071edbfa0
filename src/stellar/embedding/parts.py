"""The finished parts of an embedding: what lets many processes work without talking, and a killed
call go on.

A part is a run of pictures, and a Parquet file once it is done, placed in one step. They gather in
a folder beside the result, with a manifest that says what they are parts of. Who makes a part does
not matter: each process does those of its own share, then what is left of the others', from the
end. So a slow process holds nobody up, a dead one's parts are made by the rest, and no lock can
be left behind; at worst a part is made twice, and is the same. When none is missing, one process
gives the result its name.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from stellar.data.folder import Stamped
from stellar.embedding.earlier import Earlier
from stellar.embedding.embedder import EmbeddingError
from stellar.embedding.manifest import Replaced
from stellar.embedding.part import Part, look_at
from stellar.embedding.stamps import is_still_right
from stellar.embedding.whole import UNREADABLE, Unreadable, identity, name_of_part, to_json
from stellar.processes.launch import Ranks
from stellar.storage import place_file, reason_of, remove_folder

PART_SIZE = 2048
"""Pictures of a part: one row group, and what a restart repeats at most."""
LAYOUT: dict[str, Any] = {
    # Measured: a fifth of the time of pyarrow's defaults, and smaller files (docs/scale.md).
    "compression": "zstd",
    "compression_level": 1,
    "use_dictionary": ["path"],
    "write_statistics": ["path"],
    "write_page_checksum": True,
}
ALONE = Ranks()
KEPT, KNOWN = b"kept", b"known"
"""In the metadata of a part: how many of its rows were taken over, and of how many of its rows the
embedding that is replaced has one of that name.
"""


@dataclass(frozen=True)
class Parts:
    """Parts of the result `out`: those that are done, and those that are missing."""

    out: Path
    schema: pa.Schema
    num_images: int
    part_size: int
    replaced: Replaced | None = None
    """What the result takes the place of, if anything."""
    earlier: Earlier | None = None
    """The rows of that, to be taken over."""

    def __len__(self) -> int:
        return -(-self.num_images // self.part_size)

    def indices(self, number: int) -> range:
        """The pictures of a part."""
        start = number * self.part_size
        return range(start, min(start + self.part_size, self.num_images))

    def count(self, numbers: Iterable[int]) -> int:
        """Pictures of these parts."""
        return sum(len(self.indices(number)) for number in numbers)

    @property
    def is_placed(self) -> bool:
        """Whether the result is there, and not what it replaces."""
        there = identity(self.out)
        return there is not None and (self.replaced is None or there != self.replaced.identity)

    def is_done(self, number: int) -> bool:
        """Whether nothing is left to do for a part."""
        return self.path(number).exists() or self.is_placed

    def missing(self) -> list[int]:
        """The parts that are not done, in order."""
        done = {path.name for path in self.data.glob("*.parquet")}
        if self.is_placed:
            return []
        return [number for number in range(len(self)) if self.path(number).name not in done]

    def turns(self, ranks: Ranks) -> Iterator[int]:
        """The parts for one process to make, each chosen when it is asked for."""
        taken = set()
        for number in range(ranks.rank, len(self), ranks.world_size):
            if not self.is_done(number):
                taken.add(number)
                yield number
        while left := [number for number in self.missing() if number not in taken]:
            # Each process helps at another place, and away from where the owners are now.
            number = left[-1 - ranks.rank * len(left) // ranks.world_size]
            taken.add(number)
            yield number

    def look_at(self, number: int, source: Stamped) -> Part:
        """What is to be made of a part, before its pictures are read."""
        return look_at(number, self.indices(number), source, self.earlier)

    def write(
        self,
        part: Part,
        encoded: Sequence[tuple[Sequence[int], pa.RecordBatch]],
        unreadable: Sequence[tuple[str, str]],
    ) -> None:
        """Place a part: rows that were encoded, with the indices of their images, those that are
        taken over, and in the metadata names and reasons of the images that it lacks. Raises
        EmbeddingError when it cannot be written.
        """
        stamps = dict(zip(part.names, part.stamps, strict=True))
        lacking = [Unreadable(name, reason, stamps.get(name)) for name, reason in unreadable]
        lost = part.known.intersection(name for name, _ in unreadable)
        said = {
            UNREADABLE: to_json(lacking),
            KEPT: str(len(part.kept)),
            KNOWN: str(len(part.known) - len(lost)),
        }
        if self.is_placed:  # another process made the part, and the end of it
            return
        try:
            table = part.table(encoded, self.schema, self.earlier)
            table = table.replace_schema_metadata({**self.schema.metadata, **said})
            self._place(part.number, table)
        except EmbeddingError:
            if not self.is_placed:
                raise

    def _place(self, number: int, table: pa.Table) -> None:
        try:
            self.data.mkdir(exist_ok=True)
            place_file(
                self.path(number),
                lambda path: pq.write_table(table, path, **LAYOUT),
                staging=self.folder,
            )
        except OSError as error:
            raise EmbeddingError(
                f"{self.folder} cannot be written ({reason_of(error)}); make room there, and the "
                "same command goes on"
            ) from error

    def remove_stale(self, source: Stamped) -> None:
        """Parts go whose images were changed since they were made."""
        for number in range(len(self)):
            if (file := self.path(number)).exists() and not is_still_right(
                file, source, self.indices(number)
            ):
                file.unlink()

    def remove_if_none_is_done(self) -> None:
        """The folder of parts goes, unless one is in it."""
        if self.folder.exists() and not any(self.data.glob("*.parquet")):
            with suppress(OSError):  # nothing can be removed there
                remove_folder(self.folder)

    def path(self, number: int) -> Path:
        """The file of a part."""
        return self.data / name_of_part(self.indices(number).start)

    @property
    def data(self) -> Path:
        """The folder of the files of parts."""
        return self.folder / "data"

    @property
    def was_there(self) -> Path:
        """Where a folder that was the result lies from when it is replaced until it goes."""
        return self.folder / "replaced"

    @property
    def folder(self) -> Path:
        """Of all that belongs to parts, until they are the result."""
        return self.out.with_name(self.out.name + ".parts")
