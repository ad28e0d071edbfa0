"""What an index is on the disk: two LanceDB tables, and a file that says which versions of them
are whole.

A version of a table is all that was in it at one time. `growing.json` names those that a build
has reached, and becomes `index.json`, in one step, when it is over. So searches read what was
finished last, whatever a later build is doing, and a build that was killed goes on from the
versions that it named; what it wrote after them is dropped. A build that keeps what there was does
not go on from where one that forgets was stopped, nor the other way round: it begins from what was
finished last.

In both tables `picture` is a picture's id, which is never given twice. To who searches, the number
of a picture is how many of those that are there have lower ids. Rows come in by rising ids, but do
not always stay so (runs.py).
"""

import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pyarrow as pa

from stellar.embedding.embedder import STRONGEST, check_metadata
from stellar.errors import MissingPackage, UserError
from stellar.json_text import parse_json
from stellar.storage import reason_of, refusal, unreadable, write_file

WHOLE, GROWING, LOCK = "index.json", "growing.json", "lock"
WORDS = "words.safetensors"
"""What words is, where the index knows some."""
CONCEPTS = "concepts.safetensors"
"""Centres and names of concepts, where some are kept."""
NEEDS_LANCEDB = "needs LanceDB: pip install 'stellar-vision[search]'"
PANIC = "RustPanic"
FORMAT = 3
"""Of the tables and the files beside them."""


class SearchError(UserError):
    """An index that cannot be made or searched, or a query that cannot be answered."""


@dataclass(frozen=True)
class Contents:
    """What an index holds."""

    model: dict[str, Any]
    """Of the embedding's metadata, what all of its rows share: the model's hash, the fit, sizes and
    shapes.
    """
    num_pictures: int = 0
    next_id: int = 0
    """Of the next picture that comes in."""
    origins: tuple[str, ...] = ()
    """The embeddings that pictures came from; these name theirs by its place here."""
    pictures: int = 0
    tokens: int = 0
    """The version of each table; 0: it is still to be made."""
    trained_on: int = 0
    """Pictures that the approximate index was trained on; 0: there is none."""
    filled: int = 0
    """A version of the pictures whose first rows, all that it has so far, have got the thumbnails
    that they lacked; 0: there is none.
    """
    adding: bool = False
    """Whether the build that reached this keeps what there was, and forgets nothing."""

    @property
    def is_approximate(self) -> bool:
        """Whether there is an approximate index."""
        return self.trained_on > 0

    @property
    def num_tokens(self) -> int:
        """K, of each picture."""
        return self.model["shapes"]["tokens"][0]

    @property
    def keeps_strongest(self) -> bool:
        """Whether these are not all tokens of a picture, but those that explain most of it."""
        return STRONGEST in self.model


def of_the_model(metadata: dict[str, Any]) -> dict[str, Any]:
    """What rows of one index have to share."""
    keys = ("model_sha256", "fit", "image_size", "patch_size", "shapes", "preprocessing")
    fewer = {key: metadata[key] for key in (STRONGEST,) if key in metadata}
    return {key: metadata[key] for key in keys} | fewer


def schemas(model: dict[str, Any]) -> dict[str, pa.Schema]:
    """The columns of both tables, for vectors of these shapes."""
    (_, width), (_, *grid) = model["shapes"]["tokens"], model["shapes"]["maps"]

    def halves(length: int) -> pa.DataType:
        return pa.list_(pa.float16(), length)

    def floats(length: int) -> pa.DataType:
        return pa.list_(pa.float32(), length)

    pictures = {
        "picture": pa.int64(),
        "path": pa.string(),
        "row": pa.int64(),  # a hash of what it was made of (difference.py)
        "origin": pa.int32(),  # which embedding it came from (Contents.origins)
        "cls": halves(model["shapes"]["cls"][0]),
        "width": pa.int32(),
        "height": pa.int32(),
        "thumbnail": pa.binary(),
    }
    tokens = {
        "picture": pa.int64(),
        "token": pa.int32(),
        "sparse": halves(width),
        "centre": floats(2),
        "spread": pa.float32(),
        "box": floats(4),
        "share": pa.float32(),
        "map": halves(grid[0] * grid[1]),
    }
    return {"pictures": pa.schema(pictures), "tokens": pa.schema(tokens)}


def has_lancedb() -> bool:
    """Whether indices can be made and searched here."""
    return find_spec("lancedb") is not None


def connect(folder: Path) -> Any:
    """The tables' database; the folder is made. Raises MissingPackage without LanceDB."""
    return lancedb().connect(folder)


def lancedb() -> Any:
    """The package. Raises MissingPackage without it."""
    # Its notes about tables and clusters, on stderr, are not for who calls a command.
    os.environ.setdefault("LANCEDB_LOG", "error")
    try:
        return import_module("lancedb")
    except ModuleNotFoundError as error:
        raise MissingPackage(f"an index {NEEDS_LANCEDB}") from error


def read_contents(file: Path) -> Contents | None:
    """What a file beside the tables says, or None where there is no file. Raises SearchError."""
    try:
        found = parse_json(file.read_text("utf-8"))
        if found.pop("format") != FORMAT:
            raise SearchError(
                f"{file} is of another version of stellar; remove {file.parent}, and stellar index "
                "makes it again"
            )
        return _checked(Contents(**{**found, "origins": tuple(found["origins"])}))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except SearchError:
        raise
    except OSError as error:
        raise SearchError(unreadable(file, reason_of(error))) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise damaged(file.parent, f"its {file.name} is damaged") from error


def _checked(contents: Contents) -> Contents:
    """Raises ValueError for what no build writes."""
    check_metadata(contents.model)
    if not all(isinstance(origin, str) for origin in contents.origins):
        raise ValueError("its origins are no texts")
    versions = {"pictures": 1, "tokens": 1, "filled": 0}
    counts = {"num_pictures": 0, "next_id": contents.num_pictures, "trained_on": 0}
    for name, least in (counts | versions).items():
        value = getattr(contents, name)
        if not (isinstance(value, int) and least <= value < 2**63):  # LanceDB counts no further
            raise ValueError(f"its {name} is {value!r}")
    if not isinstance(contents.adding, bool):
        raise ValueError(f"its adding is {contents.adding!r}")
    return contents


def write_contents(file: Path, contents: Contents) -> None:
    """Raises NotWritten."""
    write_file(file, json.dumps({"format": FORMAT, **asdict(contents)}, indent=2))


def damaged(folder: Path, reason: str) -> SearchError:
    """The sentence about an index that cannot be read."""
    return SearchError(
        f"{folder} is damaged, or no index of pictures ({reason}); {_made_again(folder)}"
    )


def changed(folder: Path, reason: str) -> SearchError:
    """The sentence about an index that could be opened, and cannot be read."""
    return SearchError(
        f"{folder} is damaged, or was replaced while it was open ({reason}): open it again; if "
        f"that does not help, {_made_again(folder)}"
    )


def _made_again(folder: Path) -> str:
    """What to do, without losing names of concepts, which no command makes again."""
    kept = f", but for {CONCEPTS}" if (folder / CONCEPTS).exists() else ""
    return f"remove it{kept}, and stellar index makes it again"


@contextmanager
def reading(folder: Path, sentence: Callable[[Path, str], SearchError] = damaged) -> Iterator[None]:
    """LanceDB's errors while an index is read, as one sentence."""
    try:
        yield
    except UserError:
        raise
    except (KeyError, *_errors()) as error:
        refused = refusal(folder, error)
        raise SearchError(refused) if refused else sentence(folder, said(error)) from error


@contextmanager
def writing_tables(folder: Path) -> Iterator[None]:
    """LanceDB's errors while an index is written, as one sentence."""
    try:
        yield
    except UserError:
        raise
    except _errors() as error:
        if not _of_the_disk(error):
            raise damaged(folder, said(error)) from error
        raise SearchError(
            f"{folder} cannot be written ({said(error)}); make room or the right to write there, "
            "and the same command goes on"
        ) from error


def _errors() -> tuple[type[Exception], ...]:
    """What LanceDB raises for files that it cannot read or write; also a panic of its Rust code, as
    damaged files can bring about, whose class is there once it was raised, and cannot be imported.
    """
    panics = (kind for kind in Exception.__subclasses__() if kind.__name__ == PANIC)
    return (OSError, ValueError, RuntimeError, pa.ArrowException, *panics)


def _of_the_disk(error: Exception) -> bool:
    """Whether the system refused something, which is in no file."""
    return getattr(error, "errno", None) is not None or "(os error " in str(error)


def said(error: BaseException) -> str:
    """What went wrong in LanceDB, in its first sentence: without the kinds of the errors that it
    wraps, where in its own source each of them arose, and numbers that are no sizes of any file.
    """
    if type(error).__name__ == PANIC:
        return "LanceDB cannot make sense of it"
    text = re.sub(r",? *\S+\.rs:\d+.*", "", reason_of(error))
    text = re.sub(r".*(?:error|LanceError\(\w+\)): ", "", text)
    text = text.partition(". ")[0] or type(error).__name__
    return re.sub(r"\b\d{12,}\b(?!\.manifest)", "...", text)
