"""Where a token lies: its map in a few numbers, and how much of it is at a named place.

A map m (h w) is a token's column of L. p = m / sum(m) is how it is spread over the picture that
the model saw, whose corners are (0, 0), upper left, and (1, 1). All is counted in whole patches.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Float32

from stellar.config import nearest
from stellar.errors import UserError

Box = tuple[float, float, float, float]
"""x0, y0, x1, y1 in [0, 1]."""

PLACES: dict[str, Box] = {
    "left": (0.0, 0.0, 0.5, 1.0),
    "right": (0.5, 0.0, 1.0, 1.0),
    "top": (0.0, 0.0, 1.0, 0.5),
    "bottom": (0.0, 0.5, 1.0, 1.0),
    "upper-left": (0.0, 0.0, 0.5, 0.5),
    "upper-right": (0.5, 0.0, 1.0, 0.5),
    "lower-left": (0.0, 0.5, 0.5, 1.0),
    "lower-right": (0.5, 0.5, 1.0, 1.0),
    "middle": (0.25, 0.25, 0.75, 0.75),
}
"""Halves, quarters and the middle."""
ALSO_CALLED = {"center": "middle", "centre": "middle", "upper": "top", "lower": "bottom"}
NINTHS = (
    ("upper-left", "top", "upper-right"),
    ("left", "middle", "right"),
    ("lower-left", "bottom", "lower-right"),
)
"""Each lies within the place of the same name."""
WIDE = 0.27
"""Spread of a map, from which on its centre says little; that of an even one is 0.41."""
MOST = 0.8
"""The mass that a token's box holds."""


@dataclass(frozen=True)
class Places:
    """Where many tokens lie."""

    centre: Float32[np.ndarray, "*n K 2"]
    """x, y: the mean of p."""
    spread: Float32[np.ndarray, "*n K"]
    """Root of the mean squared distance from the centre, in sides of the picture."""
    box: Float32[np.ndarray, "*n K 4"]
    """x0, y0, x1, y1 around the fewest patches that hold MOST of p."""
    share: Float32[np.ndarray, "*n K"]
    """Of the picture: the mean of m; over the tokens of a picture they sum to 1."""


def places(maps: Float[np.ndarray, "*n K h w"]) -> Places:
    """Where tokens with these maps lie; a map of zeros counts as an even one."""
    maps = maps.astype(np.float32)
    height, width = maps.shape[-2:]
    mass = _spread_out(maps)
    x, y = _centres(width), _centres(height)
    across, down = mass.sum(axis=-2), mass.sum(axis=-1)
    centre = np.stack([across @ x, down @ y], axis=-1)
    variance = across @ x**2 + down @ y**2 - (centre**2).sum(axis=-1)
    return Places(centre, np.sqrt(variance.clip(min=0)), _boxes(mass), maps.mean(axis=(-2, -1)))


def mass_within(maps: Float[np.ndarray, "*n K h w"], box: Box) -> Float32[np.ndarray, "*n K"]:
    """The part of p that lies in a box; a patch that the box cuts counts in proportion. What has a
    map of zeros lies nowhere.
    """
    height, width = maps.shape[-2:]
    x0, y0, x1, y1 = box
    rows, columns = _covered(height, y0, y1), _covered(width, x0, x1)
    maps = maps.astype(np.float32)
    somewhere = maps.any(axis=(-2, -1))
    return somewhere * np.einsum("...hw,h,w->...", _spread_out(maps), rows, columns)


def most_within(boxes: Float32[np.ndarray, "n 4"], box: Box) -> Float32[np.ndarray, "n"]:
    """What `mass_within` is at most for tokens with these boxes, each of which holds MOST of p."""
    x0, y0, x1, y1 = boxes.T
    apart = (x0 >= box[2]) | (y0 >= box[3]) | (x1 <= box[0]) | (y1 <= box[1])
    return np.where(apart, 1 - MOST, 1).astype(np.float32)


def parse_place(text: str) -> Box:
    """The box of a place by its name, in letters of either case, or of four numbers, as
    0,0.5,1,1. Raises UserError.
    """
    name = text.strip().lower().replace(" ", "-")
    name = ALSO_CALLED.get(name, name)
    if name in PLACES:
        return PLACES[name]
    try:
        x0, y0, x1, y1 = map(float, text.split(","))
    except ValueError:
        raise UserError(
            f"a place is {', '.join(PLACES)}, or a box x0,y0,x1,y1 in [0, 1], "
            f"got {text}{nearest(name, PLACES, cutoff=0.7)}"
        ) from None
    return check_box((x0, y0, x1, y1))


def check_box(given: Any) -> Box:
    """The box that a list, an array or a tensor of four numbers is. Raises UserError for anything
    else, and for a box that has no area in [0, 1].
    """
    expected = "a box is x0,y0,x1,y1 in [0, 1], its left and upper edges first"
    parts = given if isinstance(given, list | tuple) else (given,)
    if any(isinstance(part, str) for part in parts):  # which float would read
        raise UserError(f"{expected}, got {given!r}")
    try:
        x0, y0, x1, y1 = map(float, given)
    except (TypeError, ValueError, OverflowError, RuntimeError):  # PyTorch's, of a row of several
        raise UserError(f"{expected}, got {given!r}") from None
    if not (0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1):  # NaN compares as false
        raise UserError(f"{expected}, got {x0:g},{y0:g},{x1:g},{y1:g}")
    return x0, y0, x1, y1


def in_words(x: float, y: float, spread: float) -> str:
    """Where a token lies: the ninth of the picture that its centre is in, as `upper-left`, or
    `in many places`.
    """
    if spread > WIDE:
        return "in many places"
    return NINTHS[min(2, int(3 * y))][min(2, int(3 * x))]


def patch_at(x: float, y: float, height: int, width: int) -> tuple[int, int]:
    """Row and column of the patch that holds a point of the picture that the model saw."""
    return min(height - 1, math.floor(y * height)), min(width - 1, math.floor(x * width))


def _spread_out(maps: Float32[np.ndarray, "*n K h w"]) -> Float32[np.ndarray, "*n K h w"]:
    """p: each map divided by its sum."""
    total = maps.sum(axis=(-2, -1), keepdims=True)
    even = np.float32(1 / (maps.shape[-1] * maps.shape[-2]))
    return np.where(total > 0, maps / np.where(total > 0, total, 1), even)


def _centres(length: int) -> Float32[np.ndarray, "length"]:
    return ((np.arange(length) + 0.5) / length).astype(np.float32)


def _covered(length: int, start: float, end: float) -> Float32[np.ndarray, "length"]:
    """How much of each of so many equal parts of [0, 1] lies between two points."""
    edges = np.arange(length + 1) / length
    overlap = np.minimum(edges[1:], end) - np.maximum(edges[:-1], start)
    return (overlap.clip(min=0) * length).astype(np.float32)


def _boxes(mass: Float32[np.ndarray, "*n K h w"]) -> Float32[np.ndarray, "*n K 4"]:
    """Around the fewest patches that hold MOST of each."""
    height, width = mass.shape[-2:]
    flat = mass.reshape(*mass.shape[:-2], -1)
    order = np.argsort(-flat, axis=-1, kind="stable")
    falling = np.take_along_axis(flat, order, axis=-1)
    before = falling.cumsum(axis=-1) - falling
    kept = np.zeros(flat.shape, bool)
    np.put_along_axis(kept, order, before < MOST - 1e-6, axis=-1)
    kept = kept.reshape(mass.shape)
    x0, x1 = _ends(kept.sum(axis=-2) > 0)
    y0, y1 = _ends(kept.sum(axis=-1) > 0)
    return np.stack([x0 / width, y0 / height, x1 / width, y1 / height], -1).astype(np.float32)


def _ends(line: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where the first true value of each line begins, and the last one ends."""
    return line.argmax(axis=-1), line.shape[-1] - line[..., ::-1].argmax(axis=-1)
