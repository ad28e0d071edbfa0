"""Names in a figure, placed so that none hides another or a point.

A name goes to the free place that is nearest to its point. Widths are estimated, generously, since
the font is the reader's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from stellar.evaluation.report.names import LONGEST

LETTER, LINE = 8.8, 16.0
"""Width and height that a letter takes, in the figure's units."""
CLEARANCE = 9.0
"""Half the side of the square around a point that stays free of names."""
_STEP = 4.0


@dataclass(frozen=True)
class Box:
    """A rectangle, y downwards."""

    left: float
    top: float
    width: float
    height: float

    def overlaps(self, other: "Box") -> bool:
        return (
            self.left < other.left + other.width
            and other.left < self.left + self.width
            and self.top < other.top + other.height
            and other.top < self.top + self.height
        )

    def distance(self, x: float, y: float) -> float:
        """From a point to the nearest of the rectangle."""
        across = max(self.left - x, 0, x - self.left - self.width)
        down = max(self.top - y, 0, y - self.top - self.height)
        return (across**2 + down**2) ** 0.5


def place_labels(
    points: Sequence[tuple[float, float]],
    names: Sequence[str],
    frame: Box,
    obstacles: Sequence[Box] = (),
) -> list[Box]:
    """A box for each name inside the frame, free of points, obstacles and each other where there is
    room at all; else over what is there.
    """
    taken = [Box(x - CLEARANCE, y - CLEARANCE, 2 * CLEARANCE, 2 * CLEARANCE) for x, y in points]
    taken += obstacles
    placed = []
    for (x, y), name in zip(points, names, strict=True):
        # Beside the point rather than above or below it, where both are as near.
        candidates = sorted(
            _boxes(len(name) * LETTER, frame),
            key=lambda b: b.distance(x, y) + 0.1 * abs(b.top + b.height / 2 - y),
        )
        free = (box for box in candidates if not any(box.overlaps(other) for other in taken))
        box = next(free, candidates[0])
        taken.append(box)
        placed.append(box)
    return placed


@lru_cache(maxsize=LONGEST)
def _boxes(width: float, frame: Box) -> tuple[Box, ...]:
    """Everywhere in the frame, for a name of this width."""
    across = int(max(0.0, frame.width - width) // _STEP) + 1
    down = int(max(0.0, frame.height - LINE) // _STEP) + 1
    return tuple(
        Box(frame.left + i * _STEP, frame.top + j * _STEP, width, LINE)
        for i in range(across)
        for j in range(down)
    )
