"""Crops: like Pillow's, inside the image, independent of how the tensor lies in memory."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from stellar.data.crops import RATIO, centre_crop, draw_box, random_resized_crop, resize


def picture(height: int, width: int, seed: int = 0) -> torch.Tensor:
    """A smooth random picture with channels-last memory, as decoders give it."""
    coarse = np.random.default_rng(seed).integers(0, 256, (9, 12, 3), dtype=np.uint8)
    image = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)


@pytest.mark.parametrize("size", [(24, 24), (96, 64), (224, 224), (31, 57)])
def test_resizing_agrees_with_pillow(size: tuple[int, int]) -> None:
    image = picture(150, 200)
    expected = Image.fromarray(image.permute(1, 2, 0).numpy())
    expected = expected.resize((size[1], size[0]), Image.Resampling.BICUBIC)
    difference = resize(image, *size).permute(1, 2, 0).int() - torch.from_numpy(
        np.array(expected, dtype=np.int32)
    )
    assert difference.abs().max() <= 2
    assert difference.abs().float().mean() < 0.1


def test_without_antialiasing_it_samples_the_four_nearest_pixels() -> None:
    image = picture(150, 200)
    expected = F.interpolate(image[None].float(), (40, 40), mode="bicubic")[0]
    plain = resize(image, 40, 40, antialias=False)
    assert (plain - expected.clamp(0, 255)).abs().max() <= 1.01
    assert not torch.equal(plain, resize(image, 40, 40))


def test_memory_layout_does_not_matter() -> None:
    image = picture(60, 80)
    planes = image.contiguous()
    assert torch.equal(resize(image, 30, 20), resize(planes, 30, 20))
    assert torch.equal(resize(image[:, 5:50, 7:70], 30, 20), resize(planes[:, 5:50, 7:70], 30, 20))


def test_same_size_is_the_same_image() -> None:
    image = picture(20, 30)
    assert torch.equal(resize(image, 20, 30), image)


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
        crop = random_resized_crop(rng, image, 16, (0.06, 1.0))
        assert crop.shape == (3, 16, 16)
        assert (crop == 77).all()


def test_flips_happen_as_often_as_asked() -> None:
    ramp = torch.arange(200, dtype=torch.uint8).repeat(3, 200, 1)
    for probability in (0.0, 0.3, 1.0):
        rng = np.random.default_rng(1)
        flipped = [
            bool(crop[0, 0, 0] > crop[0, 0, -1])
            for crop in (
                random_resized_crop(rng, ramp, 16, (0.3, 1.0), probability) for _ in range(300)
            )
        ]
        assert np.mean(flipped) == pytest.approx(probability, abs=0.08)


def test_the_centre_crop_is_the_middle_square() -> None:
    image = picture(60, 100)
    assert torch.equal(centre_crop(image, 60), image[:, :, 20:80])
    assert torch.equal(centre_crop(image, 30), resize(image[:, :, 20:80], 30, 30))
    assert centre_crop(picture(7, 300), 24).shape == (3, 24, 24)
