"""Edits of factors: rows of L stay distributions, other tokens keep their proportions, and what is
drawn follows.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import stellar
from stellar.model import Factors, edits
from stellar.model.edits import (
    MOST,
    EditError,
    duplicated,
    moved,
    painted,
    replaced,
    scaled,
    with_share,
)

GRID = (3, 4)


@pytest.fixture
def factors() -> Factors:
    torch.manual_seed(0)
    spatial = torch.rand(2, 12, 3).softmax(dim=2)
    return Factors(torch.rand(2, 5), torch.rand(2, 3, 5), spatial, torch.rand(2, 12, 5), GRID)


def proportions(factors: Factors, tokens: list[int]) -> Tensor:
    some = factors.spatial[:, :, tokens]
    return some / some.sum(dim=2, keepdim=True)


@pytest.mark.parametrize(
    "edit",
    [
        lambda f: painted(f, 1, [0, 5, 11]),
        lambda f: painted(f, 1, [0, 5, 11], 0.25),
        lambda f: painted(f, 1, [2], 0),
        lambda f: scaled(f, 1, 3.0),
        lambda f: scaled(f, 1, 0),
        lambda f: moved(f, 1, 1, -2),
        lambda f: moved(f, 1, 9, 9),
        lambda f: painted(painted(f, 0, range(12)), 0, [3], 0.5),
    ],
)
def test_rows_stay_distributions_and_the_others_keep_their_proportions(
    factors: Factors, edit: Callable[[Factors], Factors]
) -> None:
    after = edit(factors)
    assert torch.allclose(after.spatial.sum(dim=2), torch.ones(2, 12), atol=1e-6)
    assert (after.spatial >= 0).all()
    assert torch.equal(after.sparse, factors.sparse)


def test_painting_gives_patches_and_leaves_the_rest(factors: Factors) -> None:
    after = painted(factors, 1, [0, 5], 0.75)
    assert torch.allclose(after.spatial[:, [0, 5], 1], torch.tensor(0.75))
    left = [patch for patch in range(12) if patch not in (0, 5)]
    assert torch.allclose(after.spatial[:, left], factors.spatial[:, left], atol=1e-6)
    assert torch.allclose(proportions(after, [0, 2]), proportions(factors, [0, 2]), atol=1e-6)


@pytest.mark.usefixtures("unchecked")
def test_patches_may_come_from_what_gives_them_once_or_from_a_tensor(factors: Factors) -> None:
    expected = painted(factors, 1, [0, 5])
    for patches in (iter([0, 5]), torch.tensor([0, 5]), np.array([0, 5])):
        given: Any = patches
        assert torch.equal(painted(factors, 1, given).spatial, expected.spatial)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_low_precision_is_edited_as_well(factors: Factors, dtype: torch.dtype) -> None:
    low = replace(factors, sparse=factors.sparse.to(dtype), spatial=factors.spatial.to(dtype))
    after = scaled(low, 1, MOST).spatial
    assert after.dtype == dtype
    assert torch.allclose(after.float(), scaled(factors, 1, MOST).spatial, atol=1e-2)


def test_what_had_nothing_gets_equal_parts(factors: Factors) -> None:
    whole = painted(factors, 1, range(12))
    removed = scaled(whole, 1, 0)
    assert torch.allclose(removed.spatial[:, :, [0, 2]], torch.tensor(0.5))
    assert (removed.spatial[:, :, 1] == 0).all()


def test_what_was_removed_stays_so(factors: Factors) -> None:
    removed = scaled(scaled(painted(factors, 1, range(6)), 0, 0), 1, 0)
    assert torch.allclose(removed.spatial[:, :, 2], torch.ones(2, 12))
    last = scaled(removed, 2, 0)
    assert torch.allclose(last.spatial[:, :, :2], torch.tensor(0.5))


def test_scaling_counts_against_the_others(factors: Factors) -> None:
    after = scaled(factors, 2, 3.0).spatial
    odds = after[..., 2] / after[..., 0] / (factors.spatial[..., 2] / factors.spatial[..., 0])
    assert torch.allclose(odds, torch.tensor(3.0))
    same = scaled(factors, 2, 1.0).spatial
    assert torch.allclose(same, factors.spatial, atol=1e-6)


def test_a_moved_map_is_the_same_elsewhere(factors: Factors) -> None:
    before, after = factors.maps[:, 1], moved(factors, 1, 1, -2).maps[:, 1]
    assert torch.equal(after[:, 1:, :2], before[:, :2, 2:])
    assert (after[:, 0] == 0).all()
    assert (after[:, :, 2:] == 0).all()


def test_a_duplicate_is_one_more_token_and_takes_its_place_from_all(factors: Factors) -> None:
    after = duplicated(factors, 1, 0, 2)
    assert torch.equal(after.sparse[:, 3], factors.sparse[:, 1])
    assert torch.equal(after.maps[:, 3, :, 2:], factors.maps[:, 1, :, :2])
    assert torch.allclose(after.spatial.sum(dim=2), torch.ones(2, 12), atol=1e-6)
    assert torch.allclose(after.maps[..., :2][:, :3], factors.maps[..., :2], atol=1e-6)


def test_replacing_is_of_s_alone(factors: Factors) -> None:
    after = replaced(factors, 0, factors.sparse[:, 2])
    assert torch.equal(after.sparse[:, 0], factors.sparse[:, 2])
    assert torch.equal(after.sparse[:, 1:], factors.sparse[:, 1:])
    assert torch.equal(after.spatial, factors.spatial)


def test_a_single_token_keeps_everything(factors: Factors) -> None:
    single = replace(factors, sparse=factors.sparse[:, :1], spatial=torch.ones(2, 12, 1))
    assert torch.equal(scaled(single, 0, 0).spatial, single.spatial)


def wrong(value: Any) -> Any:
    """What a type checker would have refused."""
    return value


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda f: painted(f, 3, [0]), "the tokens are 0 to 2, got token 3"),
        (lambda f: moved(f, -1, 0, 0), "the tokens are 0 to 2, got token -1"),
        (lambda f: painted(f, 0, [12]), "the patches are 0 to 11, got patch 12"),
        (lambda f: painted(f, 0, [wrong(1.5)]), "the patches are 0 to 11, got patch 1.5"),
        (lambda f: painted(f, 0, wrong(3)), "patches are a list of them, got 3"),
        (lambda f: painted(f, 0, [1], wrong("1")), "from 0 to 1, got '1'"),
        (lambda f: scaled(f, True, 2), "the tokens are 0 to 2, got token True"),
        (lambda f: scaled(f, wrong(0.5), 2), "the tokens are 0 to 2, got token 0.5"),
        (lambda f: scaled(f.sparse, 0, 2), "the factors that encode gives, got a Tensor"),
        (lambda f: scaled(f, 0, wrong("2")), "0 to 1,000,000 times .* got '2'"),
        (lambda f: moved(f, 0, wrong(1.5), 0), "by whole patches, got 1.5 and 0"),
        (lambda f: duplicated(f, 0, 0, wrong(None)), "by whole patches, got 0 and None"),
        (lambda f: replaced(f, 0, f.dense[:, 0, :2]), r"\(2, 5\), or \(1, 5\), got shape \(2, 2\)"),
        (lambda f: replaced(f, 0, wrong("cat")), r"a token is a tensor \(2, 5\), .* got 'cat'"),
        (lambda f: with_share(f, 3, torch.ones(2, 12)), "the tokens are 0 to 2, got token 3"),
        (lambda f: with_share(f, 0, torch.ones(12)), r"tensor \(2, 12\), got shape \(12,\)"),
        (lambda f: with_share(f, 0, torch.full((2, 12), 2.0)), "from 0 to 1, got others"),
        (lambda f: painted(f, 0, [1], 1.5), "from 0 to 1, got 1.5"),
        (lambda f: scaled(f, 0, float("nan")), "0 to 1,000,000 times .* got nan"),
        (lambda f: scaled(f, 0, -1), "0 to 1,000,000 times .* got -1"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_what_is_not_there_gets_a_sentence(
    factors: Factors, edit: Callable[[Any], Factors], message: str
) -> None:
    with pytest.raises(EditError, match=message):
        edit(factors)


def test_a_model_without_tokens_has_nothing_to_edit(factors: Factors) -> None:
    none = replace(factors, sparse=factors.sparse[:, :0], spatial=factors.spatial[..., :0])
    with pytest.raises(EditError, match="has no tokens to edit"):
        scaled(none, 0, 2)


def test_the_drawing_follows() -> None:
    """A token that stays where it is draws the same picture, one that is gone another."""
    model = stellar.load("stellar-scenes")
    factors = model.encode(torch.rand(1, 3, 48, 48))
    drawn = model.reconstruct(factors)
    assert torch.allclose(model.reconstruct(moved(factors, 0, 0, 0)), drawn, atol=1e-4)
    assert not torch.allclose(model.reconstruct(edits.scaled(factors, 0, 0)), drawn, atol=1e-2)
    assert model.reconstruct(duplicated(factors, 0, 2, 2)).shape == drawn.shape
