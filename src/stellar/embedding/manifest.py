"""What the parts of an embedding are parts of, and what they will replace: a file beside them."""

import json
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from stellar.embedding.embedder import EmbeddingError
from stellar.embedding.whole import Identity
from stellar.json_text import parse_json
from stellar.storage import filled, hidden, write_file

MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Replaced:
    """The embedding that was there when parts were begun, and whose place the result takes."""

    identity: Identity
    num_rows: int


@dataclass(frozen=True)
class Manifest:
    """Of a folder of parts."""

    part_size: int
    replaced: Replaced | None
    contents: dict[str, Any]
    """What the result says of itself."""

    def is_of(self, there: Identity | None) -> bool:
        """Whether these parts may become the result where `there` is that of what is there now.
        Else they were left by a call that is over.
        """
        return there is None or (self.replaced is not None and self.replaced.identity == there)


def read_manifest(folder: Path) -> Manifest | None:
    """None where the folder is not there any more. Raises EmbeddingError for one that does not say
    it.
    """
    try:
        found = parse_json((folder / MANIFEST).read_text("utf-8"))
        replaced = found["replaced"]
        if replaced is not None:
            size, modified = replaced["identity"]
            replaced = Replaced((int(size), int(modified)), int(replaced["num_rows"]))
        if isinstance(found["contents"], dict) and int(found["part_size"]) > 0:
            return Manifest(int(found["part_size"]), replaced, found["contents"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        if not folder.exists():
            return None
    raise EmbeddingError(
        f"{folder} does not say what it holds parts of ({MANIFEST} is missing or damaged); remove "
        "it, and they are made again, or choose another --out"
    )


def create(folder: Path, manifest: Manifest, out: Path) -> None:
    """The folder appears with its manifest in it; of several processes, one makes it. Raises
    NotWritten, of the result `out`.
    """
    temporary = hidden(folder)
    with filled(temporary, out):
        write_file(temporary / MANIFEST, json.dumps(asdict(manifest)))
        with suppress(OSError):  # another process was faster
            temporary.rename(folder)
