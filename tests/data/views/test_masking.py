"""Kept patches: how many, in what order, and how compact."""

from typing import Literal

import numpy as np
import pytest
import torch

from stellar.config import ViewConfig
from stellar.data.views.masking import keep_patches, num_kept

Mode = Literal["random", "block", "focal"]
MODES: tuple[Mode, ...] = ("random", "block", "focal")
GRIDS = ((8, 8), (14, 14), (5, 9), (1, 12))


def spread(kept: torch.Tensor, columns: int) -> float:
    """Mean distance of patches from their centre of mass."""
    places = torch.stack([kept // columns, kept % columns]).double()
    return float((places - places.mean(1, keepdim=True)).norm(dim=0).mean())


def largest_rectangle(kept: torch.Tensor, grid: tuple[int, int]) -> int:
    """Area of the largest rectangle of kept patches."""
    table = torch.zeros(grid[0] * grid[1]).index_fill(0, kept, 1).view(grid).numpy()
    sums = np.pad(table.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    best = 0
    for top in range(grid[0]):
        for bottom in range(top + 1, grid[0] + 1):
            for left in range(grid[1]):
                for right in range(left + 1, grid[1] + 1):
                    area = (bottom - top) * (right - left)
                    inside = sums[bottom, right] - sums[top, right]
                    inside += sums[top, left] - sums[bottom, left]
                    best = max(best, area if inside == area else 0)
    return best


def draws(mode: Mode, grid: tuple[int, int], ratio: float, number: int) -> list[torch.Tensor]:
    views = ViewConfig(masking=mode, masking_ratio=ratio, masking_probability=1.0)
    return [keep_patches(np.random.default_rng([3, seed]), grid, views) for seed in range(number)]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("ratio", [0.0, 0.5, 0.6, 0.8, 0.9])
def test_kept_patches_are_unique_sorted_and_of_the_right_number(
    mode: Mode, grid: tuple[int, int], ratio: float
) -> None:
    num_patches = grid[0] * grid[1]
    for kept in draws(mode, grid, ratio, 20):
        assert kept.dtype == torch.int64
        assert (
            len(kept) == num_kept(num_patches, ratio) == int(num_patches * (10 - 10 * ratio)) // 10
        )
        assert (kept.diff() > 0).all()
        assert kept.min() >= 0
        assert kept.max() < num_patches


@pytest.mark.parametrize("mode", MODES)
def test_is_a_function_of_the_generator(mode: Mode) -> None:
    first, second = draws(mode, (14, 14), 0.8, 10), draws(mode, (14, 14), 0.8, 10)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert not torch.equal(first[0], first[1])


@pytest.mark.parametrize("mode", ["block", "focal"])
def test_structured_masks_are_more_compact_than_random_ones(mode: Mode) -> None:
    kinds: tuple[Mode, Mode] = (mode, "random")
    spreads = {
        kind: np.mean([spread(kept, 14) for kept in draws(kind, (14, 14), 0.8, 300)])
        for kind in kinds
    }
    assert spreads[mode] < 0.85 * spreads["random"]


@pytest.mark.parametrize("grid", [(8, 8), (6, 10)])
def test_block_masks_contain_a_rectangle(grid: tuple[int, int]) -> None:
    ratio = 0.6
    kept = num_kept(grid[0] * grid[1], ratio)
    areas = [largest_rectangle(mask, grid) for mask in draws("block", grid, ratio, 40)]
    chance = [largest_rectangle(mask, grid) for mask in draws("random", grid, ratio, 40)]
    # At least half of the kept patches, less what rounding to whole patches takes away.
    assert min(areas) >= 0.25 * kept
    assert np.mean(areas) > 0.5 * kept
    assert np.mean(areas) > 1.5 * np.mean(chance)


@pytest.mark.parametrize("mode", ["block", "focal"])
def test_probability_zero_is_random_masking(mode: Mode) -> None:
    for seed in range(20):
        kinds: tuple[Mode, Mode] = (mode, "random")
        pair = [
            keep_patches(
                np.random.default_rng(seed),
                (8, 8),
                ViewConfig(masking=kind, masking_probability=0.0),
            )
            for kind in kinds
        ]
        assert torch.equal(*pair)


def test_the_focus_is_anywhere() -> None:
    counts = torch.zeros(64)
    for kept in draws("focal", (8, 8), 0.8, 2000):
        counts[kept] += 1
    counts /= counts.sum()
    # Corners are kept less often than the middle, since fewer focuses are near them, yet often.
    assert counts.min() > 0.4 / 64
    assert counts.max() < 2 / 64
