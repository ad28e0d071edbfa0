"""Colour changes: kornia's, image by image; the same in every batch."""

import itertools
import math

import kornia.enhance as enhance
import numpy as np
import pytest
import torch
from kornia.color import rgb_to_grayscale, rgb_to_hsv
from kornia.filters import gaussian_blur2d

from stellar.config import ViewConfig
from stellar.data.views import photometric

VIEWS = ViewConfig()
ORDERS = tuple(itertools.permutations(range(4)))
KORNIA = {
    0: enhance.adjust_brightness_accumulative,
    1: enhance.adjust_contrast_with_mean_subtraction,
    2: enhance.adjust_saturation_with_gray_subtraction,
}


@pytest.fixture
def images() -> torch.Tensor:
    """Pictures of little contrast: no change takes a value out of [0, 1], where kornia clips."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randint(90, 130, (8, 3, 20, 26), generator=generator)
    tint = torch.randint(-15, 15, (8, 3, 1, 1), generator=generator)
    return (noise + tint).byte()


def params(**values: float) -> torch.Tensor:
    """Parameters that change nothing, but for those given."""
    names = ("brightness", "contrast", "saturation", "hue", "order", "grey", "sigma")
    neutral = dict(zip(names, (1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0), strict=True))
    return torch.tensor([*(neutral | values).values()])


def drawn(number: int, views: ViewConfig = VIEWS) -> torch.Tensor:
    rng = np.random.default_rng(0)
    return torch.stack([photometric.draw(rng, views) for _ in range(number)])


@pytest.mark.parametrize("order", range(24))
def test_jitter_agrees_with_kornia_in_every_order(images: torch.Tensor, order: int) -> None:
    factors = {0: 1.1, 1: 0.7, 2: 1.3}
    expected = images / 255
    for kind in ORDERS[order]:
        if kind in factors:
            expected = KORNIA[kind](expected, factors[kind])
    row = params(brightness=1.1, contrast=0.7, saturation=1.3, order=order)
    ours = photometric.apply(images, row.expand(8, -1), VIEWS)
    torch.testing.assert_close(ours, expected, atol=2e-6, rtol=0)


def test_each_image_has_its_own_parameters(images: torch.Tensor) -> None:
    generator = np.random.default_rng(1)
    rows = [
        params(
            brightness=generator.uniform(0.8, 1.2),
            contrast=generator.uniform(0.6, 1.4),
            saturation=generator.uniform(0.8, 1.2),
            order=int(generator.integers(24)),
        )
        for _ in images
    ]
    ours = photometric.apply(images, torch.stack(rows), VIEWS)
    for image, row, result in zip(images, rows, ours, strict=True):
        expected = image[None] / 255
        for kind in ORDERS[int(row[4])]:
            if kind in KORNIA:
                expected = KORNIA[kind](expected, float(row[kind]))
        torch.testing.assert_close(result, expected[0], atol=2e-6, rtol=0)


def test_grey_agrees_with_kornia_and_comes_after_the_jitter(images: torch.Tensor) -> None:
    row = params(brightness=1.2, grey=1)
    expected = rgb_to_grayscale(images / 255 * 1.2).expand(-1, 3, -1, -1)
    ours = photometric.apply(images, row.expand(8, -1), VIEWS)
    torch.testing.assert_close(ours, expected, atol=2e-6, rtol=0)


@pytest.mark.parametrize("sigma", [0.1, 0.7, 2.0])
def test_blur_agrees_with_kornia(images: torch.Tensor, sigma: float) -> None:
    expected = gaussian_blur2d(images / 255, (9, 9), (sigma, sigma), border_type="reflect")
    ours = photometric.apply(images, params(sigma=sigma).expand(8, -1), VIEWS)
    torch.testing.assert_close(ours, expected, atol=2e-6, rtol=0)


def test_only_images_that_drew_a_blur_are_blurred(images: torch.Tensor) -> None:
    rows = params().repeat(8, 1)
    rows[::2, 6] = 1.5
    ours = photometric.apply(images, rows, VIEWS)
    torch.testing.assert_close(ours[1::2], images[1::2] / 255, atol=1e-6, rtol=0)
    assert (ours[::2].var((2, 3)) < 0.5 * (images[::2] / 255).var((2, 3))).all()


def test_hue_turns_about_the_grey_axis(images: torch.Tensor) -> None:
    third = photometric.apply(images, params(hue=1 / 3).expand(8, -1), VIEWS)
    # A third of a turn takes red to green, green to blue and blue to red.
    torch.testing.assert_close(third, (images / 255).roll(1, dims=1), atol=2e-6, rtol=0)
    some = photometric.apply(images, params(hue=0.07).expand(8, -1), VIEWS)
    torch.testing.assert_close(some.mean(1), (images / 255).mean(1), atol=2e-6, rtol=0)
    back = photometric.colour_matrices(torch.rand(1, 3), params(hue=-0.07)[None])[0, :, :3]
    there = photometric.colour_matrices(torch.rand(1, 3), params(hue=0.07)[None])[0, :, :3]
    torch.testing.assert_close(back @ there, torch.eye(3), atol=1e-6, rtol=0)


@pytest.mark.parametrize("turn", [-0.1, -0.03, 0.05, 0.1])
def test_hues_change_by_the_turn_that_was_asked_for(images: torch.Tensor, turn: float) -> None:
    before = rgb_to_hsv(images / 255)[:, 0]
    after = rgb_to_hsv(photometric.apply(images, params(hue=turn).expand(8, -1), VIEWS))[:, 0]
    error = (after - before - 2 * math.pi * turn + math.pi) % (2 * math.pi) - math.pi
    assert error.abs().max() < 0.12
    assert error.mean().abs() < 0.01


def test_results_do_not_depend_on_the_batch() -> None:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (24, 3, 31, 45), generator=generator).byte()
    rows = drawn(24)
    together = photometric.apply(images, rows, VIEWS)
    alone = [photometric.apply(images[i : i + 1], rows[i : i + 1], VIEWS) for i in range(24)]
    torch.testing.assert_close(torch.cat(alone), together, atol=1e-6, rtol=0)
    backwards = photometric.apply(images.flip(0), rows.flip(0), VIEWS).flip(0)
    torch.testing.assert_close(backwards, together, atol=1e-6, rtol=0)


def test_large_batches_are_worked_on_in_parts() -> None:
    images = torch.randint(0, 256, (5, 3, 300, 300)).byte()
    rows = drawn(5)
    expected = [photometric.apply(images[i : i + 1], rows[i : i + 1], VIEWS) for i in range(5)]
    torch.testing.assert_close(
        photometric.apply(images, rows, VIEWS), torch.cat(expected), atol=1e-6, rtol=0
    )


def test_values_stay_in_range_and_autocast_does_not_matter() -> None:
    images = torch.randint(0, 256, (40, 3, 16, 16)).byte()
    rows = drawn(40, ViewConfig(brightness=1.0, contrast=1.0, saturation=1.0, hue=0.5))
    plain = photometric.apply(images, rows, VIEWS)
    assert plain.min() >= 0
    assert plain.max() <= 1
    assert plain.dtype == torch.float32
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(photometric.apply(images, rows, VIEWS), plain, atol=0, rtol=0)


@pytest.mark.parametrize("channels", [1, 2, 5])
def test_other_channels_change_each_by_itself(channels: int) -> None:
    """In brightness, contrast and blur as kornia's; saturation, hue and grey do nothing."""
    images = torch.randint(90, 130, (4, channels, 20, 26)).byte()
    plain = params(brightness=1.1, contrast=0.7, sigma=0.9).expand(4, -1)
    expected = enhance.adjust_contrast_with_mean_subtraction(images / 255 * 1.1, 0.7)
    if channels > 1:
        means = (images / 255 * 1.1).mean((2, 3), keepdim=True)
        expected = 0.7 * images / 255 * 1.1 + 0.3 * means
    expected = gaussian_blur2d(expected, (9, 9), (0.9, 0.9), border_type="reflect")
    ours = photometric.apply(images, plain, VIEWS)
    torch.testing.assert_close(ours, expected, atol=2e-6, rtol=0)
    for order in (0, 5, 23):
        coloured = params(
            brightness=1.1, contrast=0.7, sigma=0.9, saturation=1.2, hue=0.1, grey=1, order=order
        )
        again = photometric.apply(images, coloured.expand(4, -1), VIEWS)
        torch.testing.assert_close(again, ours, atol=0, rtol=0)


def test_an_empty_batch_is_empty() -> None:
    images = torch.empty(0, 3, 12, 12, dtype=torch.uint8)
    assert photometric.apply(images, torch.empty(0, photometric.NUM_PARAMS), VIEWS).shape == (
        0,
        3,
        12,
        12,
    )


def test_draws_have_the_probabilities_and_ranges_of_the_config() -> None:
    rows = drawn(4000)
    jittered = rows[:, 0] != 1
    assert jittered.float().mean() == pytest.approx(0.8, abs=0.03)
    assert rows[:, 5].mean() == pytest.approx(0.2, abs=0.03)
    assert (rows[:, 6] > 0).float().mean() == pytest.approx(0.5, abs=0.03)
    for column, reach in ((0, 0.4), (1, 0.4), (2, 0.2)):
        assert (rows[:, column] - 1).abs().max() == pytest.approx(reach, abs=0.01)
    assert rows[:, 3].abs().max() == pytest.approx(0.1, abs=0.005)
    assert set(rows[jittered, 4].tolist()) == set(range(24))
    sigmas = rows[rows[:, 6] > 0, 6]
    assert 0.1 <= sigmas.min() < 0.15
    assert 1.95 < sigmas.max() <= 2.0


def test_probability_zero_changes_nothing(images: torch.Tensor) -> None:
    views = ViewConfig(jitter_probability=0.0, grey_probability=0.0, blur_probability=0.0)
    ours = photometric.apply(images, drawn(8, views), views)
    torch.testing.assert_close(ours, images / 255, atol=1e-6, rtol=0)
