"""Concepts that last: a file beside the tables of their index has their centres, and what somebody
called them. So a number and a name mean the same tomorrow, and when pictures have come in.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32

from stellar.config import nearest
from stellar.quantities import whole_number
from stellar.searching.concepts import Concept
from stellar.searching.tables import CONCEPTS, SearchError
from stellar.searching.vector_files import Kind
from stellar.storage import one_line

KIND = Kind("stellar_concepts", "stellar concepts", format=1)
"""Of the file."""
LONGEST = 60
"""Letters of a name."""
TAKEN = re.compile(r"path|concept_\d+|[+-]?\d+", re.IGNORECASE)
"""What else is called so: numbers, and columns of tables."""


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
        if not isinstance(concept, str | Integral):
            raise SearchError(f"a concept is a name or a number, as 'boat' or 5, got {concept!r}")
        number = whole_number(concept) if isinstance(concept, str) else int(concept)
        if number is not None:
            if not 0 <= number < len(self.centres):
                raise SearchError(
                    f"the index has the concepts 0 to {len(self.centres) - 1}, got {number}"
                )
            return number
        known = {name.casefold(): place for place, name in enumerate(self.names) if name}
        wanted = str(concept).strip()
        if wanted.casefold() in known:
            return known[wanted.casefold()]
        named = ", ".join(filter(None, self.names)) or "none with a name"
        hint = nearest(wanted, self.names) or f"; there is {named}"
        raise SearchError(f"the index has no concept named {wanted!r}{hint}")

    def renamed(self, names: Mapping[int, str]) -> "KeptConcepts":
        """Some of them called otherwise, or no more. Raises SearchError for what is no name or is
        another one's, and for a number that none has.
        """
        called = list(self.names)
        for concept, name in names.items():
            called[self.number_of(concept)] = _checked(name)
        folded = [name.casefold() for name in called if name]
        if twice := next((name for name in called if folded.count(name.casefold()) > 1), None):
            raise SearchError(
                f"two concepts would be named {twice}; give each a name of its own, as {twice} 2"
            )
        return KeptConcepts(self.centres, tuple(called), self.model_sha256)

    def naming(self, concepts: Sequence[Concept]) -> tuple[Concept, ...]:
        """These concepts, which are around the centres, with their names."""
        pairs = zip(concepts, self.names, strict=True)
        return tuple(replace(concept, name=name) for concept, name in pairs)

    def save(self, file: Path) -> None:
        """The file appears whole or not at all. Raises NotWritten."""
        about = {"names": self.names, "model_sha256": self.model_sha256}
        KIND.write(file, {"centres": self.centres}, about)


def keep(
    folder: Path,
    indexed: Mapping[str, Any],
    concepts: Sequence[Concept],
    names: Mapping[int, str],
) -> KeptConcepts:
    """Concepts that were found, with the names that they have or get, in the folder of an index, by
    what all of its rows share. Raises SearchError where others are kept there that have names, and
    what `renamed` raises; NotWritten.
    """
    before, centres = read_concepts(folder, indexed), np.stack([each.centre for each in concepts])
    if before is not None and np.array_equal(before.centres, centres):
        kept = before  # with names that they got meanwhile
    elif before is None or not any(before.names):
        named = tuple(concept.name for concept in concepts)
        kept = KeptConcepts(centres, named, indexed["model_sha256"])
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
    """Without blanks around it. Raises SearchError."""
    name = name.strip()
    if len(name) > LONGEST or not name.isprintable() or ":" in name or TAKEN.fullmatch(name):
        raise SearchError(
            f"a concept's name is up to {LONGEST} letters on one line, no number, without a colon, "
            f"and neither path nor concept_1, got {one_line(name[:200])!r}"
        )
    return name
