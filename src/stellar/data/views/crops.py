"""Random crops of uint8 images, resized with antialiased bicubic filtering, uint8 all the way.

A crop is taken before it is resized, as everywhere in the field: pixels outside the crop do not
bleed into it.
"""

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Shaped, UInt8
from torch import Tensor

from stellar.images.sizes import resize

RATIO = (3 / 4, 4 / 3)
"""Width to height of a random crop, smallest and largest."""

Box = tuple[int, int, int, int]
"""Top, left, height, width, in pixels."""
Crop = Sequence[int]
"""A box, and then how its view lies: the sum of what was done to it."""
MIRRORED, UPENDED, TRANSPOSED = 1, 2, 4
"""Left and right exchanged; top and bottom; and then rows and columns. Together: every way that a
square can lie.
"""
QUARTER_TURNS = (MIRRORED | TRANSPOSED, MIRRORED | UPENDED, UPENDED | TRANSPOSED)
"""By 90, 180 and 270 degrees, anticlockwise."""
CROP_NUMBERS = 5
"""Numbers that a crop consists of."""


def draw_box(rng: np.random.Generator, height: int, width: int, scale: tuple[float, float]) -> Box:
    """A box with a random share of the area and a random ratio.

    After ten draws that do not fit: the largest centred box of an allowed ratio (as torchvision).
    """
    log_low, log_high = math.log(RATIO[0]), math.log(RATIO[1])
    for _ in range(10):
        size, shape, down, across = rng.random(4).tolist()
        area = (scale[0] + size * (scale[1] - scale[0])) * height * width
        ratio = math.exp(log_low + shape * (log_high - log_low))
        box_width, box_height = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < box_width <= width and 0 < box_height <= height:
            top = int(down * (height - box_height + 1))
            left = int(across * (width - box_width + 1))
            return top, left, box_height, box_width
    box_width = min(width, max(1, round(height * RATIO[1])))
    box_height = min(height, max(1, round(width / RATIO[0])))
    return (height - box_height) // 2, (width - box_width) // 2, box_height, box_width


def draw_crop(
    rng: np.random.Generator,
    height: int,
    width: int,
    scale: tuple[float, float],
    flip_probability: float = 0.5,
    vertical_flip_probability: float = 0.0,
    turn_probability: float = 0.0,
) -> Crop:
    """A random box of an image of so many pixels, perhaps mirrored, upended or turned. A chance of
    0 draws nothing, but for that of the mirrored.
    """
    box = draw_box(rng, height, width, scale)
    lies = MIRRORED if rng.random() < flip_probability else 0
    if vertical_flip_probability and rng.random() < vertical_flip_probability:
        lies ^= UPENDED
    if turn_probability and rng.random() < turn_probability:
        lies ^= QUARTER_TURNS[rng.integers(len(QUARTER_TURNS))]
    return *box, lies


def cut(
    image: UInt8[Tensor, "C h w"], crop: Crop, size: int, antialias: bool = True
) -> UInt8[Tensor, "C size size"]:
    """The crop, `size` by `size` pixels."""
    top, left, height, width, lies = crop
    pixels = resize(image[:, top : top + height, left : left + width], size, size, antialias)
    return laid(pixels, lies)


def laid(pixels: Shaped[Tensor, "*C h w"], lies: int) -> Shaped[Tensor, "*C y x"]:
    """Pixels as a crop's view lies."""
    exchanged = [side for side, bit in ((-1, MIRRORED), (-2, UPENDED)) if lies & bit]
    pixels = pixels.flip(exchanged) if exchanged else pixels
    return pixels.mT if lies & TRANSPOSED else pixels
