"""The finished parts of an embedding: what lets many processes work without talking, and a killed
call go on.

A part is a run of pictures, and a Parquet file once it is done, placed in one step. They gather in
a folder beside the result, with a manifest that says what they are parts of. Who makes a part does
not matter: each process does those of its own share, then what is left of the others', from the
end. So a slow process holds nobody up, a dead one's parts are made by the rest, and no lock can
be left behind; at worst a part is made twice, and is the same. When none is missing, one process
gives the result its name.
"""

import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from stellar.data import Listed
from stellar.embedding.embedder import STRONGEST, Embedder, EmbeddingError, schema_of
from stellar.embedding.reading import files_of
from stellar.json_text import parse_json
from stellar.processes.launch import Ranks
from stellar.storage import (
    hidden,
    make_folder,
    one_line,
    place_file,
    reason_of,
    remove_folder,
    sync,
    write_file,
    writing,
)

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
MANIFEST, UNREADABLE = "manifest.json", b"unreadable"
MODEL, OTHER_TOKENS = "model_sha256", "with other --tokens"
APART = {
    "images": "of other images",
    "names": "of other images",
    MODEL: "of another model",
    "fit": "with another --fit",
    "shapes": OTHER_TOKENS,
    STRONGEST: OTHER_TOKENS,
}
"""What is said of an embedding, by the field of its metadata that is not as asked for."""


@dataclass(frozen=True)
class EmbedResult:
    """What `embed` did."""

    file: Path
    """The file, or the folder of parts."""
    num_images: int
    num_unreadable: int
    """Images left out; they are listed in a text file beside the result."""


@dataclass(frozen=True)
class Parts:
    """Parts of the result `out`: those that are done, and those that are missing."""

    out: Path
    schema: pa.Schema
    num_images: int
    part_size: int

    def __len__(self) -> int:
        return -(-self.num_images // self.part_size)

    def indices(self, number: int) -> range:
        """The pictures of a part."""
        start = number * self.part_size
        return range(start, min(start + self.part_size, self.num_images))

    def count(self, numbers: Iterable[int]) -> int:
        """Pictures of these parts."""
        return sum(len(self.indices(number)) for number in numbers)

    def is_done(self, number: int) -> bool:
        """Whether nothing is left to do for a part."""
        return self._path(number).exists() or self.out.exists()

    def missing(self) -> list[int]:
        """The parts that are not done, in order."""
        done = {path.name for path in self._data.glob("*.parquet")}
        if self.out.exists():
            return []
        return [number for number in range(len(self)) if self._path(number).name not in done]

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

    def write(
        self, number: int, rows: Sequence[pa.RecordBatch], unreadable: Sequence[tuple[str, str]]
    ) -> None:
        """Place a part: its rows, and in its metadata names and reasons of the pictures that it
        lacks. Raises EmbeddingError when it cannot be written.
        """
        metadata = self.schema.with_metadata(
            {**self.schema.metadata, UNREADABLE: json.dumps(unreadable)}
        )
        table = pa.Table.from_batches(rows, metadata)
        try:
            self._data.mkdir(exist_ok=True)
            place_file(
                self._path(number),
                lambda path: pq.write_table(table, path, **LAYOUT),
                staging=self._folder,
            )
        except OSError as error:
            if not self.out.exists():  # else another process made the part, and the end of it
                raise EmbeddingError(
                    f"{self._folder} cannot be written ({reason_of(error)}); make room there, and "
                    "the same command goes on"
                ) from error

    def remove_if_none_is_done(self) -> None:
        """The folder of parts goes, unless one is in it."""
        if self._folder.exists() and not any(self._data.glob("*.parquet")):
            with suppress(OSError):  # nothing can be removed there
                remove_folder(self._folder)

    def finish(self) -> EmbedResult:
        """All parts as the result, in one step; then the folder of parts goes. Raises
        EmbeddingError, and leaves no result, where not one picture could be read, and where a part
        was damaged; also where a result that was there before is not what was asked for.
        """
        try:
            if not self.out.exists():
                self._require_parts_alone()
                self._place()
        except OSError:
            if not self.out.exists():  # else another process placed it
                raise
        num_rows = self._counted()
        if self._folder.exists():
            with suppress(FileNotFoundError):  # another process was faster
                remove_folder(self._folder)
        return EmbedResult(self.out, num_rows, self.num_images - num_rows)

    def _counted(self) -> int:
        """Rows of the result. Raises EmbeddingError where it is not this embedding, whole."""
        num_rows = 0
        for file in files_of(self.out):
            try:
                footer = pq.read_metadata(file)
                is_own = self._is_own(footer.schema.to_arrow_schema())
            except (OSError, ValueError, pa.ArrowException) as error:
                if getattr(error, "errno", None) is not None:  # of the disk, not of what it holds
                    raise
                is_own = False
            if not is_own:
                raise EmbeddingError(
                    f"{file} is no part of this embedding, or is damaged; remove {self.out}, or "
                    "choose another --out"
                )
            num_rows += footer.num_rows
        left_out = self._unreadable.read_bytes().count(b"\n") if self._unreadable.exists() else 0
        if num_rows + left_out != self.num_images:
            raise EmbeddingError(
                f"{self.out} has {num_rows} rows for {self.num_images} images, of which "
                f"{self._unreadable.name} lists {left_out} as unreadable; it is damaged, was moved "
                "without that list, or holds something else: remove it, or choose another --out"
            )
        return num_rows

    def _require_parts_alone(self) -> None:
        """Raises EmbeddingError for a file of somebody else, which readers would take for one."""
        own = {self._path(number).name for number in range(len(self))}
        for file in self._data.iterdir():
            if file.name not in own and not file.name.startswith("."):
                raise EmbeddingError(f"{file} is no part of this embedding; move it away")

    def _look_through(self, use: Callable[[pa.Table], object]) -> None:
        """Give every part away, and list what they lack."""
        lines, num_rows = [], 0
        for number in range(len(self)):
            table = self._read(number)
            use(table)
            num_rows += len(table)
            lines += [
                f"{one_line(name)}\t{one_line(reason)}\n"
                for name, reason in parse_json(table.schema.metadata[UNREADABLE])
            ]
        if lines:
            write_file(self._unreadable, "".join(lines))
        else:
            self._unreadable.unlink(missing_ok=True)
        if not num_rows:
            remove_folder(self._folder)
            raise EmbeddingError(
                f"none of {self.num_images} images could be read; {self._unreadable} says why"
            )

    def _place(self) -> None:
        if is_file(self.out):
            # Beside the parts, so that it goes with them where a kill leaves it half-written.
            place_file(self.out, self._join, staging=self._folder)
        else:
            self._look_through(lambda _table: None)  # each is whole
            self._data.replace(self.out)
            sync(self.out.parent)

    def _join(self, path: Path) -> None:
        with pq.ParquetWriter(path, self.schema, **LAYOUT) as writer:
            self._look_through(writer.write_table)

    def _read(self, number: int) -> pa.Table:
        """A part. Raises EmbeddingError where it cannot be read, and removes it where the disk has
        changed it.
        """
        try:
            table = pq.read_table(self._path(number), page_checksum_verification=True)
            if not self._is_own(table.schema) or UNREADABLE not in table.schema.metadata:
                raise ValueError("it says that it is something else")
            return table
        except (OSError, ValueError, pa.ArrowException) as error:
            if getattr(error, "errno", None) is not None:  # of the disk, not of what it holds
                if self.out.exists():  # another process has placed it, and the parts are gone
                    raise
                raise EmbeddingError(
                    f"{self._path(number)} cannot be read ({reason_of(error)}); without that file "
                    "the same command makes it again"
                ) from error
            self._path(number).unlink()
            raise EmbeddingError(
                f"{self._path(number)} was damaged on the disk ({error}), and is removed; the same "
                "command makes it again"
            ) from error

    def _is_own(self, schema: pa.Schema) -> bool:
        """Whether a file has the columns and says what it holds, as all files of a result do."""
        own, found = self.schema.metadata or {}, schema.metadata or {}
        return schema == self.schema and all(found.get(name) == own[name] for name in own)

    def _path(self, number: int) -> Path:
        return self._data / f"{self.indices(number).start:012d}.parquet"

    @property
    def _unreadable(self) -> Path:
        return self.out.with_name(self.out.name + ".unreadable.txt")

    @property
    def _data(self) -> Path:
        return self._folder / "data"

    @property
    def _folder(self) -> Path:
        return self.out.with_name(self.out.name + ".parts")


def is_file(out: Path) -> bool:
    """Whether a result is one file, or a folder of parts: a name that ends in .parquet is."""
    return out.suffix == ".parquet"


def open_parts(
    out: Path,
    source: Listed,
    embedder: Embedder,
    part_size: int = PART_SIZE,
) -> Parts:
    """What is done of an embedding, as this or an earlier call left it; its parts keep their size.

    Raises EmbeddingError when `out` is something else, its folder does not exist, or the parts are
    of something else, and NotWritten for a name that no file can have. Where `out` is what is asked
    for, nothing is missing.
    """
    out = out if out.name.strip(".") else out.resolve()  # what lies beside . needs its name
    contents = {"images": len(source), "names": source.fingerprint(), **embedder.metadata}
    with writing(out):
        return _begun(Parts(out, schema_of(contents), len(source), part_size), contents)


def _begun(parts: Parts, contents: dict[str, Any]) -> Parts:
    """The parts of these contents, as they were found or begun now."""
    out = parts.out
    if out.exists():
        if (found := _contents(out)) == contents:
            return parts
        if not isinstance(found, dict):  # something else, perhaps the pictures themselves
            raise EmbeddingError(f"{out} exists and is no embedding; choose another --out")
        raise EmbeddingError(
            f"{out} is an embedding {_apart(found, contents)}; remove it, or choose another --out"
        )
    if not out.parent.is_dir():
        raise EmbeddingError(
            f"the folder {out.parent} does not exist; create it, or choose another --out"
        )
    folder = parts._folder
    if not folder.exists():
        _create(folder, {"part_size": parts.part_size, **contents})
    if out.exists():  # finished between the two looks, so the folder may be gone or new
        return _begun(parts, contents)
    manifest = _manifest(folder)
    if {**manifest, "part_size": None} != {"part_size": None, **contents}:
        raise EmbeddingError(
            f"{folder} holds parts of an embedding {_apart(manifest, contents)}; remove it, or "
            "choose another --out"
        )
    return replace(parts, part_size=manifest["part_size"])


def _apart(found: dict[str, Any], asked: dict[str, Any]) -> str:
    """In what an embedding is not the one that is asked for."""
    differing = [field for field in APART if found.get(field) != asked.get(field)]
    if MODEL in differing:  # which decides how many tokens there are
        differing = [field for field in differing if APART[field] != OTHER_TOKENS]
    said = dict.fromkeys(APART[field] for field in differing)
    return " and ".join(said) or "by another version of stellar"


def _manifest(folder: Path) -> dict[str, Any]:
    """What the parts in a folder are parts of. Raises EmbeddingError where that is not said."""
    try:
        manifest = parse_json((folder / MANIFEST).read_text("utf-8"))
        if isinstance(manifest["part_size"], int) and manifest["part_size"] > 0:
            return manifest
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        pass
    raise EmbeddingError(
        f"{folder} does not say what it holds parts of ({MANIFEST} is missing or damaged); remove "
        "it, and they are made again, or choose another --out"
    )


def _contents(out: Path) -> object:
    """What a finished embedding says that it holds; None for anything else."""
    try:
        return parse_json((pq.read_schema(files_of(out)[0]).metadata or {})[b"stellar"])
    except (OSError, LookupError, ValueError, pa.ArrowException):
        pass
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
