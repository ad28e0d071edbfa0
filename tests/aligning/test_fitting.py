"""Maps fitted: a linear one is found again, exactly by the ridge, nearly by the contrastive loss;
what is not there is not found.
"""

from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from stellar.aligning.examples import Examples
from stellar.aligning.fitting import contrastive, fit_contrastive, fit_ridge, ridge
from stellar.searching.vectors import unit

RNG = np.random.default_rng(0)
WEIGHT, BIAS = RNG.normal(size=(6, 10)).astype(np.float32), RNG.normal(size=6).astype(np.float32)


def examples(count: int, noise: float = 0.0, seed: int = 1) -> Examples:
    rng = np.random.default_rng(seed)
    sparse = unit(rng.normal(size=(count, 10)))
    target = sparse @ WEIGHT.T + BIAS + noise * rng.normal(size=(count, 6))
    return Examples(sparse, target.astype(np.float32), np.arange(count))


def directed(given: Examples) -> Examples:
    return Examples(given.sparse, unit(given.target), given.picture)


def test_the_ridge_is_the_least_squares_solution() -> None:
    given = examples(60, noise=0.3)
    found = ridge(given, 1e-12)
    design = np.hstack([given.sparse, np.ones((60, 1))])
    solution = np.linalg.lstsq(design, given.target, rcond=None)[0].T
    np.testing.assert_allclose(found.weight, solution[:, :-1], atol=1e-3)
    np.testing.assert_allclose(found.bias, solution[:, -1], atol=1e-3)
    assert np.abs(ridge(given, 10.0).weight).max() < 0.1 * np.abs(found.weight).max()


def test_a_linear_map_is_found_and_judged_on_what_was_held_out() -> None:
    fitted = fit_ridge(examples(200), directed(examples(50, seed=2)))
    np.testing.assert_allclose(fitted.map.weight, WEIGHT, atol=0.02)
    assert fitted.cosine > 0.999
    assert fitted.baseline < fitted.cosine
    assert fitted.rank == 0


def test_what_tokens_do_not_tell_is_not_found() -> None:
    given, other = directed(examples(400)), directed(examples(100, seed=2))
    shuffled = Examples(given.sparse, RNG.permutation(given.target), given.picture)
    fitted = fit_ridge(shuffled, other)
    assert fitted.cosine == pytest.approx(fitted.baseline, abs=0.1)
    assert fitted.rank == pytest.approx(0.5, abs=0.15)


def test_captions_find_their_pictures() -> None:
    fitted = fit_contrastive(directed(examples(300)), directed(examples(80, seed=2)))
    assert fitted.rank < 0.03


@pytest.mark.parametrize("fitting", [fit_ridge, fit_contrastive])
@pytest.mark.parametrize("count", [6, 80])
def test_captions_of_others_find_nothing(fitting: Callable, count: int) -> None:
    """However few are held out."""
    given, other = directed(examples(300)), directed(examples(count, seed=2))
    shuffled = Examples(given.sparse, RNG.permutation(given.target), given.picture)
    assert fitting(given, other).rank < 0.03
    assert fitting(shuffled, other).rank > 0.25


def test_the_contrastive_loss_is_its_formula() -> None:
    torch.manual_seed(0)
    mapped, target = torch.randn(5, 4), F.normalize(torch.randn(5, 4), dim=1)
    similarity = 20 * F.normalize(mapped, dim=1) @ target.T
    own = torch.arange(5)
    expected = (F.cross_entropy(similarity, own) + F.cross_entropy(similarity.T, own)) / 2
    assert contrastive(mapped, target, torch.tensor(20.0).log()) == pytest.approx(expected.item())


def test_the_same_caption_twice_is_right_twice() -> None:
    target = F.normalize(torch.tensor([[1.0, 0], [1.0, 0], [0, 1.0]]), dim=1)
    apart, together = target.clone(), target.clone()
    apart[1] = torch.tensor([-1.0, 0])
    scale = torch.tensor(3.0)
    assert contrastive(together, target, scale) < contrastive(apart, target, scale)
    assert contrastive(together, target, torch.tensor(9.0)) == contrastive(
        together, target, torch.tensor(4.7)
    )  # 100 at most
