import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio

from stellar.evaluation.reconstruction import psnr


def test_agrees_with_scikit_image():
    images, noise = torch.rand(3, 3, 8, 10), torch.rand(3, 3, 8, 10)
    expected = [
        peak_signal_noise_ratio(a.numpy(), b.numpy(), data_range=1)
        for a, b in zip(images, noise, strict=True)
    ]
    assert psnr(images, noise).tolist() == pytest.approx(expected, abs=1e-5)


def test_known_and_perfect_values():
    black = torch.zeros(2, 3, 4, 4)
    assert psnr(black, black + 0.1).tolist() == pytest.approx([20, 20], abs=1e-5)
    assert psnr(black, black).tolist() == [float("inf")] * 2
