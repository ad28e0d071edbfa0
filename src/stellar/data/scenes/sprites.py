"""Drawn things as pixels: of every kind some dozens of individuals, each drawn once per process.

Polygons are filled on a grid that is several times finer than the picture, in whole numbers from
there on: what is drawn depends neither on the processor nor on a drawing library.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.random import default_rng

from stellar.data.scenes.sketch import Part, Shape, Sketch
from stellar.data.scenes.things import THINGS

NUM_INDIVIDUALS = 40
"""Of each kind in each split."""
_ROOTS = (0.235, 0.335)
"""Square root of a thing's area, least and largest, as a share of the picture's side.

Every kind has the same areas, whatever its shape, so that kind and size tell nothing of each other.
"""
_TILT = 9
"""Degrees to either side."""
_OUTLINE = 0.045
"""Width of the darker rim, as a share of the thing's longer side."""
_NUM_PARTS = len(Part) + 1
_DRAWERS = [draw for draw, _ in THINGS.values()]


@dataclass(frozen=True)
class Sprite:
    """One individual at one size."""

    colours: np.ndarray
    """Which rows of a thing's colours it has: parts, then the rims of parts."""
    weights: np.ndarray
    """(h, w, colours): what each of these colours counts for in a pixel, of `whole`."""
    ground_weight: np.ndarray
    """(h, w, 1): what the ground counts for, of `whole`."""
    whole: int
    mask: np.ndarray
    """(h, w): where the thing covers at least half of a pixel."""
    area: int
    """Pixels of the mask."""


@lru_cache(maxsize=4096)
def sprite(world: int, kind: int, individual: int, size: int) -> Sprite:
    """An individual for pictures of `size` pixels a side; every `world` has its own individuals.

    Their areas are spread evenly; a longer side is at most half of the picture's.
    """
    rng = default_rng([world, kind, individual])
    low, high = _ROOTS
    root = low + (high - low) * (individual + rng.random()) / NUM_INDIVIDUALS
    sketch = _tilted(_DRAWERS[kind](rng), rng.uniform(-_TILT, _TILT))
    fine = 8 if size <= 64 else 4
    trial = _draw(sketch, 64)
    side = 64 * root * size / math.sqrt(np.count_nonzero(trial))
    return _sprite(_draw(sketch, min(side, size // 2) * fine, fine), fine)


def _tilted(sketch: Sketch, degrees: float) -> Sketch:
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    turn = np.array([[cosine, sine], [-sine, cosine]])
    return Sketch(Shape(shape.part, shape.points @ turn, shape.on) for shape in sketch)


def _draw(sketch: Sketch, side: int | float, multiple: int = 1) -> np.ndarray:
    """Parts (h, w), 0 where nothing is; the longer side of the sketch is scaled to `side`.

    Both sides of the result are multiples of `multiple`; the sketch lies in its middle.
    """
    points = np.concatenate([shape.points for shape in sketch if shape.on is None])
    first, extent = points.min(0), np.ptp(points, 0)
    scale = side / extent.max()
    width, height = (multiple * math.ceil(round(scale * e) / multiple) for e in extent)
    shift = (np.array([width, height]) - scale * extent) / 2 - scale * first
    canvas = np.zeros((height, width), np.uint8)
    for shape in sketch:
        points = np.rint(shape.points * scale + shift).astype(np.int64)
        (left, top), (right, bottom) = points.min(0).tolist(), points.max(0).tolist()
        inside = filled(points - (left, top), bottom - top, right - left)
        # A detail may reach out of the smallest drawings, or lie outside of them.
        inside = inside[max(-top, 0) : max(height - top, 0), max(-left, 0) : max(width - left, 0)]
        seen = canvas[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)]
        if shape.on is not None:
            inside = inside & (seen == shape.on)
        seen[inside] = shape.part
    return canvas


def filled(points: np.ndarray, height: int, width: int) -> np.ndarray:
    """The cells (height, width) whose middle lies in a polygon (n, 2) of whole x and y.

    An edge from (x0, y0) to (x1, y1) crosses the middle of row y at
    x = x0 + (2 (y - y0) + 1) (x1 - x0) / (2 (y1 - y0)). A cell is inside if, of the edges to the
    left of its middle, not as many go down as go up.
    """
    (x0, y0), (x1, y1) = points.T, np.roll(points, -1, 0).T
    num_rows = np.abs(y1 - y0)
    edge = np.repeat(np.arange(len(points)), num_rows)
    row = np.arange(len(edge)) - (np.cumsum(num_rows) - num_rows)[edge]
    y = row + np.minimum(y0, y1)[edge]
    x0, y0, run, rise = x0[edge], y0[edge], (x1 - x0)[edge], (y1 - y0)[edge]
    x = x0 - (rise - (2 * (y - y0) + 1) * run) // (2 * rise)
    steps = np.bincount(y * (width + 1) + x, np.sign(rise), height * (width + 1))
    return np.cumsum(steps.reshape(height, width + 1), 1)[:, :width] != 0


def _sprite(canvas: np.ndarray, fine: int) -> Sprite:
    """Squares of `fine` times `fine` cells become pixels."""
    height, width = canvas.shape[0] // fine, canvas.shape[1] // fine
    solid = canvas > 0
    rim = solid & ~_eroded(solid, _OUTLINE * max(canvas.shape))
    rows, columns = (np.arange(extent) // fine for extent in canvas.shape)
    cell = (rows[:, None] * width + columns) * 2 * _NUM_PARTS + rim * _NUM_PARTS + canvas
    counts = np.bincount(cell[solid], minlength=height * width * 2 * _NUM_PARTS)
    weights = counts.reshape(height, width, 2 * _NUM_PARTS)
    coverage = weights.sum(2, keepdims=True)
    colours = np.flatnonzero(weights.any((0, 1)))
    mask = 2 * coverage[..., 0] >= fine**2
    return Sprite(
        colours=colours,
        weights=weights[..., colours].astype(np.uint8),
        ground_weight=(fine**2 - coverage).astype(np.uint8),
        whole=fine**2,
        mask=mask,
        area=int(mask.sum()),
    )


def _eroded(solid: np.ndarray, radius: float) -> np.ndarray:
    """Cells whose neighbours at this distance, in sixteen directions, are all solid."""
    pad = math.ceil(radius)
    padded = np.pad(solid, pad)
    height, width = solid.shape
    kept = solid.copy()
    for direction in range(16):
        angle = math.pi * direction / 8
        down, across = (pad + round(radius * f(angle)) for f in (math.sin, math.cos))
        kept &= padded[down : down + height, across : across + width]
    return kept
