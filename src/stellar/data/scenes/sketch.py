"""The pencil of the drawn things: closed outlines, one over the other, each of one `Part`.

A thing is drawn between -1 and 1 around its middle, x to the right and y down. Whatever shape is
asked for becomes a polygon; `sprites.py` turns polygons into pixels, at any size.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum, auto

import numpy as np

Number = int | float
Point = tuple[Number, Number]


class Part(IntEnum):
    """What colours a pixel of a thing; the first four are shades of its main colour."""

    MAIN = auto()
    DEEP = auto()
    DARK = auto()
    LIGHT = auto()
    WHITE = auto()
    INK = auto()
    WOOD = auto()
    LEAF = auto()
    STRAW = auto()
    CREAM = auto()
    ROSE = auto()
    GLASS = auto()
    STEEL = auto()


@dataclass(frozen=True)
class Shape:
    """A polygon (n, 2) of x and y; with `on`, only where that part is seen so far."""

    part: Part
    points: np.ndarray
    on: Part | None = None


class Sketch(list[Shape]):
    """Shapes from the back to the front."""

    def polygon(self, part: Part, points: Sequence[Point], on: Part | None = None) -> None:
        self.append(Shape(part, np.asarray(points, float), on))

    def blob(self, part: Part, points: Sequence[Point], on: Part | None = None) -> None:
        """A soft closed outline through the points."""
        self.append(Shape(part, _smooth(np.asarray(points, float), closed=True), on))

    def ellipse(
        self,
        part: Part,
        x: Number,
        y: Number,
        across: Number,
        down: Number | None = None,
        turn: Number = 0.0,
        on: Part | None = None,
    ) -> None:
        """Half axes `across` and `down` (a circle without it), turned clockwise by degrees."""
        points = _CIRCLE * (across, across if down is None else down)
        self.append(Shape(part, _turned(points, turn) + np.array((x, y)), on))

    def box(
        self,
        part: Part,
        left: Number,
        top: Number,
        right: Number,
        bottom: Number,
        corner: Number = 0.0,
    ) -> None:
        """A rectangle with round corners of that radius."""
        points = []
        for start, x, y in (
            (0, right - corner, bottom - corner),
            (90, left + corner, bottom - corner),
            (180, left + corner, top + corner),
            (270, right - corner, top + corner),
        ):
            points += arc(x, y, corner, corner, start, start + 90)
        self.polygon(part, points)

    def stroke(
        self, part: Part, points: Sequence[Point], width: Number, on: Part | None = None
    ) -> None:
        """A soft line through the points with round ends."""
        line = np.asarray(points, float)
        if len(line) > 2:
            line = _smooth(line, closed=False)
        steps = np.diff(line, axis=0)
        steps /= np.sqrt((steps**2).sum(1, keepdims=True))
        along = np.concatenate([steps[:1], (steps[1:] + steps[:-1]) / 2, steps[-1:]])
        side = along[:, ::-1] * (-width / 2, width / 2)
        for x, y in (line[0], line[-1]):
            self.ellipse(part, x, y, width / 2, on=on)
        self.append(Shape(part, np.concatenate([line + side, (line - side)[::-1]]), on))

    def eye(self, x: Number, y: Number, radius: Number) -> None:
        """White, with a pupil that looks to the right."""
        self.ellipse(Part.WHITE, x, y, radius)
        self.ellipse(Part.INK, x + 0.25 * radius, y, 0.62 * radius)


def arc(
    x: Number, y: Number, across: Number, down: Number, start: Number, end: Number, steps: int = 12
) -> list[Point]:
    """Points on an ellipse from one angle to another, clockwise from the right, in degrees."""
    angles = [math.radians(start + (end - start) * step / steps) for step in range(steps + 1)]
    return [(x + across * math.cos(a), y + down * math.sin(a)) for a in angles]


def symmetric(half: Sequence[Point]) -> list[Point]:
    """A right half, from its top to its bottom, and its mirror image on the left."""
    return [*half, *((-x, y) for x, y in reversed(half) if x)]


_CIRCLE = np.array(arc(0, 0, 1, 1, 0, 360, 40)[:-1])


def _turned(points: np.ndarray, degrees: Number) -> np.ndarray:
    """Turned clockwise around the origin."""
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    x, y = points.T
    return np.stack([cosine * x - sine * y, sine * x + cosine * y], 1)


def _smooth(points: np.ndarray, closed: bool, steps: int = 6) -> np.ndarray:
    """A Catmull-Rom curve through the points: `steps` points for each of them."""
    if closed:
        before, start, end, after = (np.roll(points, shift, 0) for shift in (1, 0, -1, -2))
    else:
        ends = np.concatenate([points[:1], points, points[-1:]])
        before, start, end, after = ends[:-3], ends[1:-2], ends[2:-1], ends[3:]
    t = (np.arange(steps) / steps)[:, None]
    curve = 0.5 * (
        2 * start[:, None]
        + (end - before)[:, None] * t
        + (2 * before - 5 * start + 4 * end - after)[:, None] * t**2
        + (3 * start - before - 3 * end + after)[:, None] * t**3
    )
    curve = curve.reshape(-1, 2)
    return curve if closed else np.concatenate([curve, points[-1:]])
