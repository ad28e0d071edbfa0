"""SSIM agrees with scikit-image's, on random and on degenerate images."""

from typing import Any

import pytest
import torch
from skimage.metrics import structural_similarity

from stellar.evaluation.metrics.ssim import ssim


def by_scikit_image(images: torch.Tensor, others: torch.Tensor) -> list[Any]:
    return [
        structural_similarity(
            a.double().numpy(),
            b.double().numpy(),
            channel_axis=0,
            data_range=1,
            gaussian_weights=True,
            use_sample_covariance=False,
        )
        for a, b in zip(images, others, strict=True)
    ]


@pytest.mark.parametrize("shape", [(3, 3, 24, 17), (2, 1, 11, 40), (1, 3, 11, 11)])
def test_agrees_with_scikit_image(shape: tuple[int, ...]) -> None:
    images = torch.rand(shape)
    for others in (torch.rand(shape), images + 0.05 * torch.randn(shape), 1 - images):
        assert ssim(images, others).tolist() == pytest.approx(
            by_scikit_image(images, others), abs=1e-6
        )


def test_degenerate_images() -> None:
    black, white, random = (
        torch.zeros(1, 3, 16, 16),
        torch.ones(1, 3, 16, 16),
        torch.rand(1, 3, 16, 16),
    )
    for a, b in ((black, white), (white, random), (white, white), (random, random)):
        assert ssim(a, b).tolist() == pytest.approx(by_scikit_image(a, b), abs=1e-6)
    assert ssim(random, random).item() == pytest.approx(1, abs=1e-6)


def test_an_image_smaller_than_the_window_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 11 pixels a side, got 10 x 30"):
        ssim(torch.rand(1, 3, 10, 30), torch.rand(1, 3, 10, 30))
