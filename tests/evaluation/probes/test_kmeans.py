"""k-means of the patches of each picture."""

import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score

from stellar.evaluation.probes.kmeans import kmeans


def blobs(num_pictures: int, noise: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Patches around four directions, other ones in every picture."""
    centres = torch.randn(num_pictures, 4, 8)
    truth = torch.randint(4, (num_pictures, 60))
    x = centres.gather(1, truth[:, :, None].expand(-1, -1, 8))
    return x + noise * torch.randn_like(x), truth


def test_clusters_that_are_apart_are_found_at_any_length() -> None:
    x, truth = blobs(5, noise=0.02)
    found = kmeans(x * torch.rand(5, 60, 1).add(0.1), 4, torch.Generator().manual_seed(0))
    for a, b in zip(truth, found, strict=True):
        assert adjusted_rand_score(a, b) > 0.95


def test_it_ends_near_the_best_of_scikit_learn() -> None:
    x, _ = blobs(1, noise=0.5)
    unit = torch.nn.functional.normalize(x, dim=2)[0].double().numpy()
    best = -KMeans(4, random_state=0).set_params(n_init=20).fit(unit).score(unit)
    inertia = []
    for seed in range(10):
        label = kmeans(x, 4, torch.Generator().manual_seed(seed))[0].numpy()
        parts = [unit[label == k] for k in np.unique(label)]
        inertia.append(sum(((part - part.mean(0)) ** 2).sum() for part in parts))
    assert min(inertia) == pytest.approx(best, rel=1e-3)
    assert np.median(inertia) < 1.05 * best


def test_the_seed_decides_and_few_patches_are_enough() -> None:
    x, _ = blobs(3, noise=0.5)
    first, again = (kmeans(x, 4, torch.Generator().manual_seed(7)) for _ in range(2))
    assert torch.equal(first, again)
    constant = kmeans(torch.ones(2, 5, 3), 6, torch.Generator())
    assert all(len(row.unique()) == 1 for row in constant)
