"""Random crops of uint8 images, resized with antialiased bicubic filtering, uint8 all the way.

A crop is taken before it is resized, as everywhere in the field: pixels outside the crop do not
bleed into it.
"""

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8
from torch import Tensor

from stellar.images.sizes import resize

RATIO = (3 / 4, 4 / 3)
"""Width to height of a random crop, smallest and largest."""

Box = tuple[int, int, int, int]
"""Top, left, height, width, in pixels."""
Crop = Sequence[int]
"""A box, and then 1 where it is mirrored, else 0."""
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
) -> Crop:
    """A random box of an image of so many pixels, perhaps mirrored."""
    return *draw_box(rng, height, width, scale), int(rng.random() < flip_probability)


def cut(
    image: UInt8[Tensor, "C h w"], crop: Crop, size: int, antialias: bool = True
) -> UInt8[Tensor, "C size size"]:
    """The crop, `size` by `size` pixels."""
    top, left, height, width, mirrored = crop
    pixels = resize(image[:, top : top + height, left : left + width], size, size, antialias)
    return pixels.flip(2) if mirrored else pixels
