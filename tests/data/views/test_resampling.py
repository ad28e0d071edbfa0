"""Resampling by matrix products: torch's own, whatever sizes share a canvas and whatever is set."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from stellar.data.views.crops import cut, draw_crop, laid
from stellar.data.views.resampling import canvases, cut_all, resampled, weights

SHAPES = ((75, 100), (100, 75), (40, 30), (1, 1), (1, 90), (90, 2))


def noise(channels: int = 3) -> list[torch.Tensor]:
    """Pictures (h w C) of many shapes: what is hardest to resample."""
    generator = torch.Generator().manual_seed(0)
    return [torch.randint(0, 256, (*s, channels), generator=generator).byte() for s in SHAPES]


def smooth() -> list[torch.Tensor]:
    coarse = np.random.default_rng(0).integers(40, 216, (len(SHAPES), 5, 7, 3), dtype=np.uint8)
    return [
        torch.from_numpy(
            np.array(Image.fromarray(grid).resize((width, height), Image.Resampling.BICUBIC))
        )
        for grid, (height, width) in zip(coarse, SHAPES, strict=True)
    ]


def drawn(pictures: list[torch.Tensor], views: int = 6) -> torch.Tensor:
    """Crops that lie in any way."""
    rng = np.random.default_rng(1)
    return torch.tensor(
        [
            [
                draw_crop(rng, p.shape[0], p.shape[1], (0.06, 1.0), 0.5, 0.5, 0.5)
                for _ in range(views)
            ]
            for p in pictures
        ]
    )


def by_torch(picture: torch.Tensor, crop: list[int], size: int, antialias: bool) -> torch.Tensor:
    top, left, height, width, lies = crop
    box = picture.permute(2, 0, 1)[None, :, top : top + height, left : left + width].double()
    pixels = F.interpolate(box, (size, size), mode="bicubic", antialias=antialias)[0]
    return laid(pixels, lies)


@pytest.mark.parametrize("antialias", [True, False])
@pytest.mark.parametrize("size", [12, 57])
@pytest.mark.parametrize("channels", [1, 3, 5])
def test_it_agrees_with_torch(size: int, antialias: bool, channels: int) -> None:
    pictures = noise(channels)
    crops = drawn(pictures)
    together = resampled(canvases(pictures, torch.float64), crops, size, antialias)
    for picture, some, views in zip(pictures, crops.tolist(), together, strict=True):
        for crop, view in zip(some, views, strict=True):
            expected = by_torch(picture, crop, size, antialias)
            torch.testing.assert_close(view / 255, expected / 255, atol=1e-5, rtol=0)


@pytest.mark.parametrize("antialias", [True, False])
def test_the_half_precision_of_a_gpu_is_within_a_grey_level(antialias: bool) -> None:
    pictures = noise()
    crops = drawn(pictures)
    exact = resampled(canvases(pictures, torch.float64), crops, 32, antialias)
    half = resampled(canvases(pictures, torch.float16), crops, 32, antialias)
    assert half.dtype == torch.float16
    assert (half.double() - exact).abs().max() < 0.5
    assert (half.double() - exact).abs().mean() < 0.07


@pytest.mark.parametrize("antialias", [True, False])
def test_it_agrees_with_what_workers_cut(antialias: bool) -> None:
    pictures = smooth()
    crops = drawn(pictures)
    ours = cut_all(pictures, crops, 40, antialias)
    for picture, some, views in zip(pictures, crops.tolist(), ours, strict=True):
        for crop, view in zip(some, views, strict=True):
            theirs = cut(picture.permute(2, 0, 1), crop, 40, antialias)
            difference = (view.int() - theirs.int()).abs()
            assert difference.max() <= 2
            assert (difference > 1).float().mean() < 0.002


def test_no_setting_matters() -> None:
    pictures = noise()
    crops = drawn(pictures)
    expected = cut_all(pictures, crops, 24)
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("medium")
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert torch.equal(cut_all(pictures, crops, 24), expected)
    finally:
        torch.set_float32_matmul_precision(before)


def test_a_picture_gives_the_same_in_any_batch() -> None:
    pictures = noise()
    crops = drawn(pictures)
    together = cut_all(pictures, crops, 24)
    for place, picture in enumerate(pictures):
        alone = cut_all([picture], crops[place : place + 1], 24)
        assert torch.equal(alone[0], together[place])
    # A GPU's pictures share canvases; what lies beyond a picture is in none of its views.
    shared = resampled(canvases(pictures, torch.float64), crops, 24)
    assert torch.equal(shared.round().clamp(0, 255).byte(), together)


def test_no_crops_are_no_views() -> None:
    pictures = noise()
    assert cut_all(pictures, drawn(pictures)[:, :0], 24).shape == (len(SHAPES), 0, 3, 24, 24)


def test_weights_stay_in_their_box_and_sum_to_one() -> None:
    start, length = torch.tensor([[0, 3, 20]]), torch.tensor([[30, 1, 10]])
    for antialias in (True, False):
        matrices = weights(
            start, length, torch.tensor([[0, 0, 1]]), 30, 8, antialias, torch.empty(0)
        )
        torch.testing.assert_close(matrices.sum(-1), torch.ones(1, 3, 8))
        place = torch.arange(30)
        outside = (place < start[..., None]) | (place >= (start + length)[..., None])
        assert (matrices * outside[:, :, None]).abs().max() == 0
    upright = weights(start, length, torch.zeros_like(start), 30, 8, True, torch.empty(0))
    mirrored = weights(start, length, torch.ones_like(start), 30, 8, True, torch.empty(0))
    assert torch.equal(mirrored, upright.flip(2))
