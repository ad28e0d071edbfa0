"""Overlaps of objects and segments, against brute force."""

import math
from itertools import permutations

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from stellar.evaluation.metrics.overlap import best_overlap, matched_iou, optimal_pairs, overlaps


def by_hand(instances: Tensor, segments: Tensor) -> tuple[float, float]:
    """Mean best overlap and matched IoU, from sets of pixels and all matchings."""
    objects, parts = (
        [{*torch.nonzero(labels.flatten() == v).flatten().tolist()} for v in range(least, 10)]
        for labels, least in ((instances, 1), (segments, 0))
    )
    objects = [pixels for pixels in objects if pixels]
    iou = [[len(a & b) / len(a | b) for b in parts] for a in objects]
    best = sum(map(max, iou)) / len(iou)
    matchings = permutations(range(len(parts)), len(iou))
    matched = max(sum(row[j] for row, j in zip(iou, chosen, strict=True)) for chosen in matchings)
    return best, matched / len(iou)


GENERATOR = torch.Generator().manual_seed(0)
OBJECTS = torch.randint(4, (7, 9), generator=GENERATOR).byte()
NOISE = torch.randint(6, (7, 9), generator=GENERATOR)
CASES = {
    "random": (OBJECTS, NOISE),
    "near": (OBJECTS, torch.where(torch.rand(7, 9, generator=GENERATOR) < 0.7, OBJECTS, NOISE)),
    "equal": (OBJECTS, OBJECTS.long()),
    "more objects than segments": (OBJECTS, NOISE // 3),
    "one segment": (OBJECTS, torch.zeros_like(NOISE)),
    "one segment of a high number": (OBJECTS, torch.full_like(NOISE, 7)),
    "a number that no object has": (torch.where(OBJECTS == 2, 0, OBJECTS), NOISE),
    "one object": ((OBJECTS == 1).byte(), NOISE),
    "an object that is all": (torch.ones_like(OBJECTS), NOISE),
    "one pixel": (OBJECTS.new_ones(1, 1), NOISE[:1, :1]),
}


@pytest.mark.parametrize("case", CASES)
def test_agrees_with_sets_of_pixels_and_all_matchings(case: str) -> None:
    instances, segments = CASES[case]
    iou = overlaps(instances, segments)
    best, matched = by_hand(instances, segments)
    assert best_overlap(iou) == pytest.approx(best, abs=1e-6)
    assert matched_iou(iou) == pytest.approx(matched, abs=1e-6)
    assert matched_iou(iou) <= best_overlap(iou) + 1e-12


def test_equal_segments_are_perfect_whatever_their_names() -> None:
    iou = overlaps(OBJECTS, torch.tensor([5, 0, 9, 3])[OBJECTS.long()])
    assert best_overlap(iou) == matched_iou(iou) == 1


def test_a_segment_is_matched_once() -> None:
    """Two objects in one segment: both find it, one may have it."""
    instances = torch.tensor([[1, 1, 2, 0]])
    iou = overlaps(instances, torch.tensor([[0, 0, 0, 1]]))
    assert best_overlap(iou) == pytest.approx((2 / 3 + 1 / 3) / 2)
    assert matched_iou(iou) == pytest.approx((2 / 3 + 0) / 2)


def test_a_picture_without_objects_has_no_overlap() -> None:
    iou = overlaps(torch.zeros(3, 3, dtype=torch.uint8), NOISE[:3, :3])
    assert iou.shape[0] == 0
    assert math.isnan(matched_iou(iou))


@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (5, 1), (4, 4), (6, 16), (16, 6), (30, 30)])
@pytest.mark.parametrize("kind", ["continuous", "ties", "constant"])
def test_the_matching_is_optimal(shape: tuple[int, int], kind: str) -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        score = {
            "continuous": rng.normal(size=shape),
            "ties": rng.integers(0, 3, shape).astype(float),
            "constant": np.zeros(shape),
        }[kind]
        rows, columns = optimal_pairs(score)
        assert len({*rows.tolist()}) == len({*columns.tolist()}) == min(shape)
        best = score[linear_sum_assignment(score, maximize=True)].sum()
        assert score[rows, columns].sum() == pytest.approx(best, abs=1e-9)
