"""What is asked for, as users give it: lists, pixels and vectors, from Python, numpy or PyTorch."""

from numbers import Real
from reprlib import repr as in_short
from typing import Any

import numpy as np
from jaxtyping import Float32
from torch import Tensor

from stellar.searching.tables import SearchError


def listed(given: Any, expected: str, length: int | None = None) -> list[Any]:
    """What a list, a tuple or an array holds. Raises SearchError for a text, for what holds
    nothing, and for another length.
    """
    try:
        given = given.tolist() if isinstance(given, Tensor) else given
        found = None if isinstance(given, str) else list(given)
    except TypeError:
        found = None
    if found is None or length not in (None, len(found)):
        raise SearchError(f"{expected}, got {given!r}")
    return found


def pixel(given: Any) -> tuple[float, float]:
    """x and y. Raises SearchError for anything but two numbers."""
    expected = "at must be a pixel (x, y)"
    x, y = listed(given, expected, 2)
    if not (isinstance(x, Real) and isinstance(y, Real)):
        raise SearchError(f"{expected}, got {given!r}")
    return float(x), float(y)


def vectors(given: Any, name: str, width: int) -> Float32[np.ndarray, "n width"]:
    """Rows of so many numbers, from a list, an array or a tensor; an empty list is none. Raises
    SearchError for another shape, and for what is no finite number.
    """
    expected = f"{name} must be vectors of {width} finite numbers, of shape (n, {width})"
    try:
        found = np.asarray(given.detach().float().cpu() if isinstance(given, Tensor) else given)
    except (TypeError, ValueError, RuntimeError):  # rows of several lengths, for one
        found = np.array(None)
    if found.dtype.kind not in "fiu":
        raise SearchError(f"{expected}, got {in_short(given)}")
    if found.size == 0:
        found = found.reshape(0, width)
    if found.ndim != 2 or found.shape[1] != width:
        raise SearchError(f"{expected}, got shape {found.shape}")
    with np.errstate(over="ignore"):  # too large is infinite then
        found = found.astype(np.float32)
    if not np.isfinite(found).all():
        raise SearchError(f"{expected}, got some that are not finite")
    return found
