"""Crops: like Pillow's, inside the image, independent of how the tensor lies in memory."""

import numpy as np
import pytest
import torch
from PIL import Image

from stellar.data.views.crops import QUARTER_TURNS, RATIO, cut, draw_box, draw_crop, laid


def picture(height: int, width: int, seed: int = 0) -> torch.Tensor:
    """A smooth random picture with channels-last memory, as decoders give it."""
    coarse = np.random.default_rng(seed).integers(0, 256, (9, 12, 3), dtype=np.uint8)
    image = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)


@pytest.mark.parametrize("shape", [(375, 500), (48, 48), (1000, 200)])
@pytest.mark.parametrize("scale", [(0.36, 1.0), (0.06, 0.36)])
def test_boxes_lie_inside_and_have_the_right_area_and_ratio(
    shape: tuple[int, int], scale: tuple[float, float]
) -> None:
    height, width = shape
    rng = np.random.default_rng(0)
    for _ in range(300):
        top, left, box_height, box_width = draw_box(rng, height, width, scale)
        assert 0 <= top <= top + box_height <= height
        assert 0 <= left <= left + box_width <= width
        slack = 1 + 1 / min(box_height, box_width)
        assert RATIO[0] / slack**2 <= box_width / box_height <= RATIO[1] * slack**2
        # A long image has no large box of an allowed ratio: the fallback may be smaller.
        share = box_height * box_width / (height * width)
        assert share <= scale[1] * slack**2
        assert share >= scale[0] / slack**2 or height > 2 * width


@pytest.mark.parametrize("shape", [(1, 1), (1, 500), (500, 1), (2, 3)])
def test_tiny_and_long_images_give_crops(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    image = torch.full((3, *shape), 77, dtype=torch.uint8)
    for _ in range(10):
        crop = cut(image, draw_crop(rng, *shape, (0.06, 1.0)), 16)
        assert crop.shape == (3, 16, 16)
        assert (crop == 77).all()


def test_flips_happen_as_often_as_asked() -> None:
    ramp = torch.arange(200, dtype=torch.uint8).repeat(3, 200, 1)
    for probability in (0.0, 0.3, 1.0):
        rng = np.random.default_rng(1)
        crops = [
            cut(ramp, draw_crop(rng, 200, 200, (0.3, 1.0), probability), 16) for _ in range(300)
        ]
        flipped = [bool(crop[0, 0, 0] > crop[0, 0, -1]) for crop in crops]
        assert np.mean(flipped) == pytest.approx(probability, abs=0.08)


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_turns_are_those_of_torch(turns: int) -> None:
    image = picture(30, 40)
    assert torch.equal(laid(image, QUARTER_TURNS[turns - 1]), image.rot90(turns, (1, 2)))


def test_a_view_lies_in_each_of_eight_ways_as_often_as_asked() -> None:
    def ways(*probabilities: float) -> list[float]:
        rng = np.random.default_rng(2)
        drawn = [draw_crop(rng, 9, 9, (0.3, 1.0), *probabilities)[4] for _ in range(800)]
        return [drawn.count(way) / len(drawn) for way in range(8)]

    assert ways(0.0, 0.3, 0.0) == pytest.approx([0.7, 0, 0.3, 0, 0, 0, 0, 0], abs=0.05)
    assert ways(0.5, 0.5, 0.75) == pytest.approx([1 / 8] * 8, abs=0.05)
    # Turns alone mirror nothing: writing stays writing.
    assert ways(0.0, 0.0, 0.6) == pytest.approx([0.4, 0, 0, 0.2, 0, 0.2, 0.2, 0], abs=0.05)


def test_what_is_not_asked_for_draws_nothing() -> None:
    """Seeds mean what they meant before there were turns."""
    first, second = np.random.default_rng(0), np.random.default_rng(0)
    plain = [draw_crop(first, 99, 70, (0.3, 1.0), 0.5) for _ in range(20)]
    assert plain == [
        (*draw_box(second, 99, 70, (0.3, 1.0)), int(second.random() < 0.5)) for _ in plain
    ]
