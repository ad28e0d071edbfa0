"""Which patches a masked view keeps: those with the lowest scores, drawn at random.

    random  score = U(0, 1)
    block   score = U(0, 1) - [inside a rectangle]
    focal   score = U(0, 1) - exp(-distance^2 / (2 sigma^2)), with a random centre and sigma

Block and focal masking apply with probability `masking_probability`; otherwise the patches are
drawn uniformly.
"""

import math

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from stellar.config import ViewConfig
from stellar.config.views import num_kept

FOCAL_SIGMA = (0.1, 0.5)
"""Standard deviation of the focus, smallest and largest, as a share of the grid's side."""
BLOCK_SHARE = (0.5, 1.0)
"""Area of the rectangle, smallest and largest, as a share of the kept patches."""
BLOCK_RATIO = (1 / 2, 2.0)
"""Width to height of the rectangle, smallest and largest."""


def keep_patches(
    rng: np.random.Generator, grid: tuple[int, int], views: ViewConfig
) -> Int64[Tensor, " kept"]:
    """Indices (row-major, ascending) of the patches that one masked view keeps."""
    kept = num_kept(grid[0] * grid[1], views.masking_ratio)
    scores = rng.random(grid)
    if views.masking != "random" and rng.random() < views.masking_probability:
        scores -= _focus(rng, grid) if views.masking == "focal" else _block(rng, grid, kept)
    lowest = np.argpartition(scores.ravel(), kept - 1)[:kept]
    return torch.from_numpy(np.sort(lowest))


def _focus(rng: np.random.Generator, grid: tuple[int, int]) -> np.ndarray:
    """A Gaussian around a uniform centre; distances are shares of the grid's sides."""
    centre = rng.random(2)
    sigma = rng.uniform(*FOCAL_SIGMA)
    down = ((np.arange(grid[0]) + 0.5) / grid[0] - centre[0]) ** 2
    across = ((np.arange(grid[1]) + 0.5) / grid[1] - centre[1]) ** 2
    return np.exp(-(down[:, None] + across) / (2 * sigma**2))


def _block(rng: np.random.Generator, grid: tuple[int, int], kept: int) -> np.ndarray:
    """1 inside a random rectangle that is no larger than the number of kept patches, else 0."""
    area = rng.uniform(*BLOCK_SHARE) * kept
    ratio = math.exp(rng.uniform(*np.log(BLOCK_RATIO)))
    rows = int(np.clip(math.sqrt(area / ratio), 1, min(grid[0], kept)))
    columns = int(np.clip(area / rows, 1, min(grid[1], kept // rows)))
    top = int(rng.integers(grid[0] - rows + 1))
    left = int(rng.integers(grid[1] - columns + 1))
    block = np.zeros(grid)
    block[top : top + rows, left : left + columns] = 1.0
    return block
