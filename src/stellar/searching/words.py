"""From tokens to the space of a model of pictures and texts, so that words find tokens.

    words(s) = A s / |s| + b,  of length 1

`stellar align` learns A and b (aligning/). The file is safetensors; it names the tower whose texts
are looked for, and the model whose tokens they find.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Float32

from stellar.searching.tables import SearchError
from stellar.searching.vector_files import Kind
from stellar.searching.vectors import unit

KIND = Kind("stellar_words", "stellar align", format=1)
"""Of the file."""


@dataclass(frozen=True)
class Origin:
    """Where a map comes from."""

    tower: str
    """The model of pictures and texts: its name on the hub, or the whole path of its folder."""
    model_sha256: str
    """Of the model whose tokens it takes."""
    fit: str
    """How pictures came to that model's size."""


@dataclass(frozen=True, eq=False)
class Words:
    """The map, called with tokens."""

    weight: Float32[np.ndarray, "E D"]
    bias: Float32[np.ndarray, "E"]
    origin: Origin

    def __call__(self, sparse: Float[np.ndarray, "*n D"]) -> Float32[np.ndarray, "*n E"]:
        """Tokens, in the tower's space, of length 1."""
        return unit(unit(sparse) @ self.weight.T + self.bias)

    @property
    def width(self) -> int:
        """E, of the tower's vectors."""
        return len(self.bias)

    def directions(self, texts: Float32[np.ndarray, "q E"]) -> Float32[np.ndarray, "q D"]:
        """Where tokens lie that texts find: the gradient of A s . t, of length 1."""
        return unit(texts @ self.weight)

    def check(self, indexed: Mapping[str, Any]) -> None:
        """Raises SearchError where an index, by what all of its rows share, is of another model, or
        its pictures came to the model's size in another way.
        """
        model_sha256, fit = indexed["model_sha256"], indexed["fit"]
        if self.origin.model_sha256 != model_sha256:
            raise SearchError(
                f"these words are of another model ({self.origin.model_sha256[:12]}) than the "
                f"index ({model_sha256[:12]}); align the model of the index"
            )
        if self.origin.fit != fit:
            raise SearchError(
                f"these words were learned with fit {self.origin.fit}, and the index is of an "
                f"embedding with fit {fit}; align the model again with --fit {fit}"
            )

    def save(self, file: Path) -> None:
        """The file appears whole or not at all. Raises NotWritten."""
        KIND.write(file, {"weight": self.weight, "bias": self.bias}, asdict(self.origin))


def as_words(given: Words | str | Path) -> Words:
    """Words, or those of a file. Raises SearchError."""
    if isinstance(given, Words):
        return given
    if not isinstance(given, str | Path):
        raise SearchError(
            "words must be the file that stellar align wrote, or what read_words gives of it, got "
            f"{given!r}"
        )
    return read_words(given)


def read_words(file: str | Path) -> Words:
    """What `Words.save` wrote. Raises SearchError."""
    return KIND.read(file, _made)


def _made(tensors: dict[str, np.ndarray], about: dict[str, Any]) -> Words:
    weight, bias = tensors["weight"], tensors["bias"]
    if weight.ndim != 2 or bias.shape != weight.shape[:1]:
        raise ValueError("its tensors do not fit together")
    return Words(weight, bias, Origin(**about))
