"""Concepts that last: a file beside the tables of their index has their centres, and what somebody
called them. So a number and a name mean the same tomorrow, and when pictures have come in.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from numbers import Integral
from pathlib import Path
from reprlib import repr as in_short
from typing import Any
from unicodedata import normalize

import numpy as np
from jaxtyping import Float32

from stellar.config import nearest
from stellar.quantities import whole_number
from stellar.searching.asked import listed, vectors
from stellar.searching.concepts import Concept, Concepts, named
from stellar.searching.tables import CONCEPTS, SearchError
from stellar.searching.vector_files import Kind
from stellar.searching.vectors import unit
from stellar.storage import one_line

KIND = Kind("stellar_concepts", "stellar concepts", format=1)
"""Of the file."""
LONGEST = 60
"""Letters of a name."""
TAKEN = re.compile(r"path|concept[_ ]?\d+|[+-]?\d+", re.IGNORECASE)
"""What is called so already: concepts that have no name, and columns of tables."""
JOINERS = {0x200C: None, 0x200D: None}
"""Signs without width that join or part letters, which some scripts and emoji need."""


@dataclass(frozen=True, eq=False)
class KeptConcepts:
    """Of one index."""

    centres: Float32[np.ndarray, "c D"]
    """Of length 1."""
    names: tuple[str, ...]
    """Of each; empty for one that has none."""
    model_sha256: str
    """Of the model whose tokens these are near."""

    def number_of(self, concept: str | int) -> int:
        """Of the concept with this name, in whatever case, or with this number. Raises
        SearchError.
        """
        if not isinstance(concept, str | Integral) or isinstance(concept, bool) or concept == "":
            raise SearchError(f"a concept is a name or a number, as 'boat' or 5, got {concept!r}")
        number = whole_number(concept) if isinstance(concept, str) else int(concept)
        if number is not None:
            if not 0 <= number < len(self.centres):
                raise SearchError(
                    f"the index has the concepts 0 to {len(self.centres) - 1}, got {number}"
                )
            return number
        wanted = str(concept).strip()
        if self.has_named(wanted):
            return [_folded(name) for name in self.names].index(_folded(wanted))
        called = ", ".join(filter(None, self.names)) or "none with a name"
        hint = nearest(wanted, self.names) or f"; there is {called}"
        raise SearchError(f"the index has no concept named {one_line(wanted)}{hint}")

    def has_named(self, name: str) -> bool:
        """Whether one of them is called so, in whatever case."""
        return _folded(name) in {_folded(each) for each in self.names if each}

    def renamed(self, names: Mapping[Any, str]) -> "KeptConcepts":
        """Some of them called otherwise, or no more: new names, by numbers or names. Raises
        SearchError for what is no name or is another one's, and for a concept that there is none
        of.
        """
        if not isinstance(names, Mapping):
            raise SearchError(f"names are by number, as {{3: 'boat'}}, got {names!r}")
        called = list(self.names)
        for concept, name in names.items():
            called[self.number_of(concept)] = _checked(name)
        folded = [_folded(name) for name in called if name]
        if twice := next((name for name in called if folded.count(_folded(name)) > 1), None):
            raise SearchError(
                f"two concepts would be named {twice}; give each a name of its own, as {twice} 2"
            )
        return KeptConcepts(self.centres, tuple(called), self.model_sha256)

    def are_around(self, centres: Float32[np.ndarray, "_ D"]) -> bool:
        """Whether these are their centres, but for rounding."""
        return centres.shape == self.centres.shape and np.allclose(centres, self.centres, atol=1e-5)

    def naming(self, found: Concepts) -> Concepts:
        """Concepts around these centres, with their names."""
        return replace(found, concepts=named(found.concepts, self.names), kept=True)

    def save(self, file: Path) -> None:
        """The file appears whole or not at all. Raises NotWritten."""
        about = {"names": self.names, "model_sha256": self.model_sha256}
        KIND.write(file, {"centres": self.centres}, about)


def keep(
    folder: Path,
    indexed: Mapping[str, Any],
    concepts: Concepts | Sequence[Concept],
    names: Mapping[Any, str],
) -> KeptConcepts:
    """Concepts that were found, with the names that they have or get, in the folder of an index, by
    what all of its rows share. Raises SearchError where others are kept there that have names, for
    what are no concepts of it, and what `renamed` raises; NotWritten.
    """
    expected = "concepts to be kept are what Index.concepts gives"
    found = listed(concepts.concepts if isinstance(concepts, Concepts) else concepts, expected)
    if not found or not all(isinstance(each, Concept) for each in found):
        raise SearchError(f"{expected}, got {in_short(concepts)}")
    _, width = indexed["shapes"]["tokens"]
    centres = unit(vectors([each.centre for each in found], "their centres", width))
    before = read_concepts(folder, indexed)
    if before is not None and before.are_around(centres):
        kept = before  # with names that they got meanwhile
    elif before is None or not any(before.names):
        nameless = KeptConcepts(centres, ("",) * len(centres), indexed["model_sha256"])
        kept = nameless.renamed({number: each.name for number, each in enumerate(found)})
    else:
        raise SearchError(
            f"{folder} keeps other concepts already, named "
            f"{', '.join(filter(None, before.names))}; to forget these, remove {folder / CONCEPTS}"
        )
    kept = kept.renamed(names)
    kept.save(folder / CONCEPTS)
    return kept


def read_concepts(folder: Path, indexed: Mapping[str, Any]) -> KeptConcepts | None:
    """Those that are kept in the folder of an index; None where there is no file. Raises
    SearchError for a damaged one, and for another model's.
    """
    if not (file := folder / CONCEPTS).exists():
        return None
    (_, width), model_sha256 = indexed["shapes"]["tokens"], indexed["model_sha256"]
    kept = KIND.read(file, lambda tensors, about: _made(tensors, about, width))
    if kept.model_sha256 != model_sha256:
        raise SearchError(
            f"{file} is of another model ({kept.model_sha256[:12]}) than its index "
            f"({model_sha256[:12]}); remove it, and find concepts anew with stellar concepts"
        )
    return kept


def _made(tensors: dict[str, np.ndarray], about: dict[str, Any], width: int) -> KeptConcepts:
    centres, names, model_sha256 = tensors["centres"], tuple(about["names"]), about["model_sha256"]
    if not all(isinstance(text, str) for text in (*names, model_sha256)):
        raise ValueError("its names are no texts")
    if len(names) == 0 or centres.shape != (len(names), width):
        raise ValueError(f"its centres are of shape {centres.shape}, not ({len(names)}, {width})")
    return KeptConcepts(centres, names, model_sha256)


def _checked(name: str) -> str:
    """Without blanks around it, composed. Raises SearchError for what is no name."""
    if not isinstance(name, str):
        raise SearchError(f"a concept's name is a text, got {name!r}")
    name = normalize("NFC", name.strip())
    if len(name) > LONGEST:
        wrong = f"it has {len(name)} letters, and {LONGEST} are the most"
    elif ":" in name:
        wrong = "it has a colon, as a picture's token has, photo.jpg:3"
    elif TAKEN.fullmatch(name):
        wrong = "concepts without a name, and columns of tables, are called so"
    elif not name.translate(JOINERS).isprintable():
        wrong = "some of it cannot be printed on one line"
    else:
        return name
    raise SearchError(f"{one_line(name[:200])} is no name for a concept: {wrong}; choose another")


def _folded(name: str) -> str:
    """What names have in common that differ in case, or in how their accents are typed, alone."""
    return normalize("NFC", normalize("NFC", name).casefold())
