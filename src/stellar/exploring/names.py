"""The names of pictures, which are looked for by a part of them and by the whole."""

import re
from functools import cached_property

import numpy as np
from jaxtyping import Int64

from stellar.data import ImageSource
from stellar.data.folder import ImageFiles


class Names:
    """Of a source, in one text: to look through a million of them makes no million objects."""

    def __init__(self, source: ImageSource) -> None:
        each = (f"{source.name(index)}\0" for index in range(len(source)))
        self._text = source.names() if isinstance(source, ImageFiles) else "".join(each)

    def containing(self, text: str) -> list[int]:
        """The numbers of those with this text in them, in any case."""
        once = re.escape(_folded(text)) + rb"[^\0]*"  # and not again in the same name
        starts = [found.start() for found in re.finditer(once, self._in_any_case)]
        return np.searchsorted(self._ends, starts).tolist()

    @cached_property
    def numbers(self) -> dict[str, int]:
        """By the whole name."""
        return {name: number for number, name in enumerate(self._text.split("\0")[:-1])}

    @cached_property
    def _in_any_case(self) -> bytes:
        return _folded(self._text)

    @cached_property
    def _ends(self) -> Int64[np.ndarray, "n"]:
        return np.flatnonzero(np.frombuffer(self._in_any_case, np.uint8) == 0)


def _folded(text: str) -> bytes:
    return text.casefold().encode("utf-8", "surrogatepass")
