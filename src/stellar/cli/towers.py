"""Texts as vectors, by the tower that an index's words were made with."""

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from stellar.errors import UserError

if TYPE_CHECKING:
    import numpy as np

    from stellar.aligning import Tower
    from stellar.searching import Words


def texts_of(words: "Words", device: str) -> "Callable[[Sequence[str]], np.ndarray]":
    """What the tower says of texts, E numbers each. It is loaded when it is first asked, which
    raises UserError where its folder has gone, and else what `load_tower` raises.
    """

    @cache
    def tower() -> "Tower":
        from stellar.aligning import load_tower
        from stellar.precision import choose_device

        named = Path(words.origin.tower)
        if named.is_absolute() and not named.is_dir():
            raise UserError(
                f"the folder {named}, which the words were made with, is not here; put it back, or "
                "learn words anew with stellar align"
            )
        return load_tower(words.origin.tower, choose_device(device))

    return lambda texts: tower().texts(texts).numpy()
