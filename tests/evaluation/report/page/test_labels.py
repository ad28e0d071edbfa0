"""Names in figures never hide each other."""

from itertools import combinations
from random import Random

import pytest

from stellar.evaluation.report.names import LONGEST
from stellar.evaluation.report.page.labels import CLEARANCE, Box, place_labels

FRAME = Box(58.0, 14.0, 408.0, 294.0)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("kind", ["anywhere", "one spot", "corner"])
def test_labels_overlap_neither_each_other_nor_points_and_stay_inside(seed: int, kind: str) -> None:
    random = Random(seed)
    reach = {"anywhere": (408, 294), "one spot": (6, 6), "corner": (20, 10)}[kind]
    points = [(58 + reach[0] * random.random(), 14 + reach[1] * random.random()) for _ in range(8)]
    names = ["n" * random.randint(3, LONGEST) for _ in points]
    boxes = place_labels(points, names, FRAME)
    for box in boxes:
        assert FRAME.left <= box.left
        assert box.left + box.width <= FRAME.left + FRAME.width
        assert FRAME.top <= box.top
        assert box.top + box.height <= FRAME.top + FRAME.height
        for x, y in points:
            assert box.distance(x, y) >= CLEARANCE - 1e-6
    assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))


def test_a_label_stands_beside_its_point() -> None:
    ((x, y),) = points = [(200.0, 150.0)]
    (box,) = place_labels(points, ["model"], FRAME)
    assert box.distance(x, y) < 14
    assert box.top < y < box.top + box.height


def test_a_label_leaves_what_stands_in_the_way() -> None:
    obstacle = Box(150.0, 100.0, 200.0, 100.0)
    (box,) = place_labels([(200.0, 150.0)], ["model"], FRAME, [obstacle])
    assert not box.overlaps(obstacle)


def test_without_room_every_name_still_gets_a_place() -> None:
    crowded = place_labels([(5.0, 5.0)] * 9, ["long name"] * 9, Box(0.0, 0.0, 80.0, 40.0))
    assert len(crowded) == 9
