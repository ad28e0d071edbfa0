"""The Frechet distance agrees with scipy's matrix square root and with torchmetrics, and its
moments with numpy, in whatever parts the rows come.
"""

from functools import reduce
from operator import add

import numpy as np
import pytest
import scipy.linalg
import torch
from torchmetrics.image.fid import FrechetInceptionDistance

from stellar.evaluation.metrics.frechet import Moments, RandomConvolutions, frechet_distance


def by_scipy(a: np.ndarray, b: np.ndarray) -> float:
    c1, c2 = np.atleast_2d(np.cov(a.T)), np.atleast_2d(np.cov(b.T))
    root = scipy.linalg.sqrtm(c1 @ c2)
    return float(((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(c1 + c2 - 2 * np.real(root)))


def features(count: int, width: int = 5, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(width, width, generator=generator)
    return torch.randn(count, width, generator=generator) @ mixing + mixing[0]


def test_agrees_with_scipy() -> None:
    a, b = features(40), features(60, seed=1)
    found = frechet_distance(Moments.of(a), Moments.of(b))
    assert found == pytest.approx(by_scipy(a.double().numpy(), b.double().numpy()), abs=1e-6)
    assert frechet_distance(Moments.of(b), Moments.of(a)) == pytest.approx(found, abs=1e-9)


def test_singular_covariances() -> None:
    """Features that lie in a plane, and in another plane: the exact distance is known there, and
    scipy's square root agrees where it converges.
    """
    a, b = features(50).double(), features(50, seed=1).double()
    a[:, 3:] = b[:, 3:] = 2.0
    expected = by_scipy(a[:, :3].numpy(), b[:, :3].numpy())
    assert frechet_distance(Moments.of(a), Moments.of(b)) == pytest.approx(expected, abs=1e-6)
    turned = torch.linalg.qr(torch.randn(5, 5).double()).Q
    found = frechet_distance(Moments.of(a @ turned), Moments.of(b @ turned))
    assert found == pytest.approx(expected, abs=1e-6)


def test_fewer_rows_than_features() -> None:
    """Both covariances are singular, of rank 3 in 40 dimensions, in different subspaces: then tr
    (C1 C2)^(1/2) is the nuclear norm of one centred set times the other.
    """
    a, b = torch.randn(4, 40).double(), torch.randn(4, 40).double()
    x, y = a - a.mean(0), b - b.mean(0)
    cross = np.linalg.svd((x @ y.T).numpy(), compute_uv=False).sum() / 3
    expected = (a.mean(0) - b.mean(0)).square().sum() + (x**2).sum() / 3 + (y**2).sum() / 3
    expected = expected.item() - 2 * cross
    assert frechet_distance(Moments.of(a), Moments.of(b)) == pytest.approx(expected, abs=1e-6)


def test_constant_features_and_single_rows() -> None:
    constant, other = torch.full((10, 4), 3.0), features(30, 4)
    assert frechet_distance(Moments.of(constant), Moments.of(constant)) == 0
    assert frechet_distance(Moments.of(constant), Moments.of(constant + 2)) == pytest.approx(16)
    one = frechet_distance(Moments.of(constant[:1]), Moments.of(other))
    assert one == pytest.approx(frechet_distance(Moments.of(constant), Moments.of(other)))
    assert frechet_distance(Moments.of(other), Moments.of(other)) == pytest.approx(0, abs=1e-9)


def test_moments_do_not_depend_on_the_parts() -> None:
    rows = 1000 + features(101)
    parts = [rows[:1], rows[1:2], rows[2:60], rows[60:]]
    found = reduce(add, map(Moments.of, parts))
    assert found.count == 101
    assert np.allclose(found.mean, rows.double().numpy().mean(0), rtol=1e-12)
    assert np.allclose(found.covariance, np.cov(rows.double().numpy().T), rtol=1e-9)


class OfBytes(torch.nn.Module):
    """What torchmetrics asks of an extractor: it takes uint8."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return RandomConvolutions()(images / 255)


def test_agrees_with_torchmetrics_on_the_random_convolutions() -> None:
    images = (255 * torch.rand(300, 3, 12, 12)).byte()
    drawn = (images * 0.8).byte()
    metric = FrechetInceptionDistance(OfBytes(), input_img_size=(3, 12, 12))
    metric.set_dtype(torch.float64)
    metric.update(images, real=True)
    metric.update(drawn, real=False)
    a, b = (Moments.of(RandomConvolutions()(side / 255)) for side in (images, drawn))
    assert frechet_distance(a, b) == pytest.approx(metric.compute().item(), abs=1e-6)


def test_random_convolutions_are_the_same_for_everybody_and_see_damage() -> None:
    images = torch.rand(64, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    images = torch.nn.functional.avg_pool2d(images, 5, 1, 2)
    network = RandomConvolutions()
    assert network(images).shape == (64, 224)
    # The first numbers of numpy's RandomState(0), as everybody has seen them.
    first = next(network.buffers()).flatten()[:2]
    assert first.tolist() == pytest.approx(
        [1.7640523 * (2 / 27) ** 0.5, 0.4001572 * (2 / 27) ** 0.5], abs=1e-6
    )
    assert torch.equal(network(images), RandomConvolutions()(images))
    truth = Moments.of(network(images))
    noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(1))
    distances = [
        frechet_distance(truth, Moments.of(network((images + amount * noise).clamp(0, 1))))
        for amount in (0, 0.02, 0.05, 0.1)
    ]
    assert distances == sorted(distances)
    assert RandomConvolutions(4)(torch.rand(2, 4, 16, 16)).shape == (2, 224)
