"""The strongest tokens: which they are, what L becomes, and what can be done with them."""

import inspect
import re
from itertools import combinations

import pytest
import torch

from stellar.config import ModelConfig
from stellar.errors import UserError
from stellar.model import Stellar
from stellar.model.fewer_tokens import strongest


@pytest.fixture
def logits() -> torch.Tensor:
    return 4 * torch.randn(3, 10, 5)


@pytest.mark.parametrize("count", range(1, 6))
def test_no_other_so_many_tokens_explain_more(logits: torch.Tensor, count: int) -> None:
    spatial, sparse = logits.softmax(dim=2), torch.randn(3, 5, 7)
    kept, _ = strongest(sparse, spatial, count)
    for image in range(3):
        explained = {
            some: spatial[image, :, list(some)].sum().item()
            for some in combinations(range(5), count)
        }
        best = max(explained, key=explained.__getitem__)
        mass = spatial[image].sum(dim=0)
        in_order = sorted(best, key=lambda token: -mass[token])
        assert torch.equal(kept[image], sparse[image, in_order])


@pytest.mark.parametrize("count", range(1, 6))
def test_maps_are_the_softmax_over_what_is_kept(logits: torch.Tensor, count: int) -> None:
    sparse = torch.arange(5.0).expand(3, 5)[:, :, None]  # a token says its number
    kept, spatial = strongest(sparse, logits.softmax(dim=2), count)
    numbers = kept[:, None, :, 0].long().expand(-1, 10, -1)
    torch.testing.assert_close(spatial, logits.gather(2, numbers).softmax(dim=2))


def test_fewer_are_the_first_of_more(logits: torch.Tensor) -> None:
    sparse, spatial = torch.randn(3, 5, 7), logits.softmax(dim=2)
    assert torch.equal(strongest(sparse, spatial, 2)[0], strongest(sparse, spatial, 4)[0][:, :2])


def test_a_patch_that_nothing_kept_explains_is_shared() -> None:
    spatial = torch.tensor([[[1.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 1, 0], [0, 0, 1]]])
    _, shares = strongest(torch.randn(1, 3, 4), spatial, 2)
    assert torch.equal(shares[0, -1], torch.tensor([0.5, 0.5]))
    assert torch.equal(shares.sum(dim=2), torch.ones(1, 5))


@pytest.mark.parametrize("count", [0, 4, -1])
def test_as_many_as_there_are(small: ModelConfig, count: int) -> None:
    factors = Stellar(small).encode(torch.rand(1, 3, 16, 16))
    with pytest.raises(UserError, match=f"has 3 tokens; keep 1 to 3, not {count}"):
        factors.strongest(count)


@pytest.mark.parametrize("count", ["2", None, 1.5, True, [1], torch.tensor(2)])
def test_what_is_no_number_of_tokens_is_refused(count: object) -> None:
    spatial = torch.full((1, 4, 3), 1 / 3)
    unchecked = inspect.unwrap(strongest)  # as it is for users, whose types nothing checks
    with pytest.raises(UserError, match=re.escape(f"keep 1 to 3, not {count!r}")):
        unchecked(torch.zeros(1, 3, 5), spatial, count)  # pyright: ignore[reportArgumentType]


def test_of_no_tokens_none_are_kept() -> None:
    with pytest.raises(UserError, match="the model has no tokens"):
        strongest(torch.zeros(1, 0, 5), torch.zeros(1, 4, 0), 1)


def test_fewer_tokens_are_drawn(small: ModelConfig) -> None:
    """All of them draw what they drew, whatever their order; fewer draw something else."""
    model = Stellar(small).eval()
    with torch.no_grad():
        factors = model.encode(torch.rand(2, 3, 16, 16))
        drawn = model.reconstruct(factors)
        torch.testing.assert_close(model.reconstruct(factors.strongest(3)), drawn)
        two = factors.strongest(2)
        assert two.sparse.shape == (2, 2, 24)
        assert two.maps.shape == (2, 2, 4, 4)
        assert not torch.allclose(model.reconstruct(two), drawn)
    assert torch.equal(two.dense, factors.dense)
