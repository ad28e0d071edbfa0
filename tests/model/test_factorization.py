"""L = softmax over tokens of the cosine, and what it means for Z = L S."""

import pytest
import torch

from stellar.model.factorization import Factorization, pooled, spatial_distribution
from stellar.model.factors import Factors


@pytest.mark.parametrize("temperature", [0.06, 1.0, None])
def test_rows_are_distributions(temperature: float | None) -> None:
    _, spatial = Factorization(8, temperature)(torch.randn(2, 9, 8), torch.randn(2, 4, 8))
    assert spatial.shape == (2, 9, 4)
    torch.testing.assert_close(spatial.sum(dim=2), torch.ones(2, 9))
    assert (spatial >= 0).all()


def test_cosine_ignores_length_and_dot_product_does_not() -> None:
    dense, sparse = torch.randn(1, 5, 8), torch.randn(1, 3, 8)
    cosine = spatial_distribution(dense, sparse, 0.06)
    torch.testing.assert_close(spatial_distribution(3 * dense, 0.5 * sparse, 0.06), cosine)
    plain = spatial_distribution(dense, sparse, None)
    expected = torch.softmax(dense @ sparse.mT / 8**0.5, dim=2)
    torch.testing.assert_close(plain, expected)
    assert not torch.allclose(spatial_distribution(3 * dense, sparse, None), plain)


def test_a_patch_equal_to_a_token_is_explained_by_it() -> None:
    sparse = torch.eye(8)[None, :4]
    spatial = spatial_distribution(sparse[:, [2, 0, 3]], sparse, 0.06)
    assert spatial.argmax(dim=2).tolist() == [[2, 0, 3]]
    assert spatial.amax(dim=2).min() > 0.99


def test_lowrank_has_the_rank_of_its_tokens() -> None:
    factors = Factors(
        cls=torch.randn(1, 8),
        sparse=torch.randn(1, 3, 8),
        spatial=torch.rand(1, 20, 3).softmax(dim=2),
        dense=torch.randn(1, 20, 8),
        grid=(4, 5),
    )
    assert torch.linalg.matrix_rank(factors.lowrank[0]) == 3
    assert factors.maps.shape == (1, 3, 4, 5)
    torch.testing.assert_close(factors.maps[0, 1, 2, 3], factors.spatial[0, 2 * 5 + 3, 1])


def test_half_precision_inputs_are_compared_in_full() -> None:
    factorization = Factorization(8, 0.06)
    dense, sparse = torch.randn(1, 9, 8), torch.randn(1, 4, 8)
    with torch.autocast("cpu", torch.bfloat16):
        _, spatial = factorization(dense, sparse)
    assert spatial.dtype == torch.float32
    assert (spatial - factorization(dense, sparse)[1]).abs().max() < 0.1


def test_pooled_is_the_mean_of_a_tokens_patches() -> None:
    dense = torch.tensor([[[1.0, 0.0], [3.0, 2.0], [5.0, 7.0]]])
    spatial = torch.tensor([[[1.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]])
    expected = torch.tensor([[[2.0, 1.0], [5.0, 7.0], [0.0, 0.0]]])
    torch.testing.assert_close(pooled(dense, spatial), expected)
