"""Things as pixels: polygons filled exactly, whole silhouettes, other individuals in each split."""

from fractions import Fraction

import numpy as np
import pytest
from scipy import ndimage

from stellar.data.scenes import COLOURS, KIND_COLOURS, KINDS
from stellar.data.scenes.sprites import NUM_INDIVIDUALS, filled, sprite


def winds_around(points: list[tuple[int, int]], x: Fraction, y: Fraction) -> bool:
    """Whether a polygon goes around a point, one edge at a time."""
    number = 0
    for (x0, y0), (x1, y1) in zip(points, points[1:] + points[:1], strict=True):
        if (y0 < y) != (y1 < y) and x0 + (y - y0) * Fraction(x1 - x0, y1 - y0) <= x:
            number += 1 if y1 > y0 else -1
    return number != 0


@pytest.mark.parametrize("seed", range(8))
def test_polygons_are_filled_exactly(seed: int) -> None:
    points = np.random.default_rng(seed).integers(0, 20, size=(5, 2))
    points -= points.min(0)
    width, height = points.max(0).tolist()
    half, corners = Fraction(1, 2), [(x, y) for x, y in points.tolist()]
    expected = [
        [winds_around(corners, x + half, y + half) for x in range(width)] for y in range(height)
    ]
    assert np.array_equal(filled(points, height, width), expected)


@pytest.mark.parametrize("kind", range(len(KINDS)), ids=KINDS)
def test_things_are_in_one_piece_of_the_size_asked_for(kind: int) -> None:
    roots = []
    for individual in range(0, NUM_INDIVIDUALS, 4):
        thing = sprite(0, kind, individual, 48)
        assert max(thing.mask.shape) <= 24
        assert (thing.weights.sum(2, dtype=int) + thing.ground_weight[..., 0] == thing.whole).all()
        touched = thing.ground_weight[..., 0] < thing.whole
        pieces = np.zeros(touched.shape, int)
        assert ndimage.label(touched, np.ones((3, 3)), pieces) == 1
        roots.append(thing.area**0.5 / 48)
    assert roots[0] < 0.26
    assert roots[-1] > 0.3
    assert np.corrcoef(roots, range(len(roots)))[0, 1] > 0.95


def test_no_individual_is_in_two_splits() -> None:
    for kind in range(len(KINDS)):
        pictures = {
            (thing.weights.shape, thing.weights.tobytes())
            for world in range(3)
            for thing in (sprite(world, kind, individual, 48) for individual in range(10))
        }
        assert len(pictures) == 30


def test_every_colour_belongs_to_half_of_the_kinds() -> None:
    assert all(len(set(colours)) == 4 for colours in KIND_COLOURS)
    owners = [sum(colour in colours for colours in KIND_COLOURS) for colour in range(len(COLOURS))]
    assert owners == [len(KINDS) // 2] * len(COLOURS)
