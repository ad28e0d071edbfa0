"""Noise on L: a sample from it at 1, nothing at 0."""

import torch

from stellar.objective.spatial_noise import perturbed


def test_noise_of_one_samples_from_l() -> None:
    """The largest share is token k as often as L says; without noise L stays as it is."""
    spatial = torch.tensor([[0.7, 0.2, 0.1]]).expand(1, 20_000, 3)
    winners = perturbed(spatial, 1.0, torch.Generator().manual_seed(0)).argmax(dim=2)
    often = torch.bincount(winners.flatten(), minlength=3) / 20_000
    torch.testing.assert_close(often, spatial[0, 0], atol=0.01, rtol=0)
    torch.testing.assert_close(perturbed(spatial, 0.0), spatial)


def test_noise_leaves_rows_finite_that_sum_to_one() -> None:
    spatial = torch.tensor([[[1.0, 0.0], [0.5, 0.5]]])
    noisy = perturbed(spatial, 2.0)
    torch.testing.assert_close(noisy.sum(dim=2), torch.ones(1, 2))
    assert torch.isfinite(noisy).all()
