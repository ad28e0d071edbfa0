"""Matching: the permutation that was applied is found, and small epsilon gives the optimal
assignment.
"""

import torch
from scipy.optimize import linear_sum_assignment

from stellar.objective.matching import match, transport_plan


def test_a_permutation_is_found() -> None:
    target = torch.randn(3, 6, 8)
    order = torch.stack([torch.randperm(6) for _ in range(3)])
    prediction = target.gather(1, order[:, :, None].expand(-1, -1, 8))
    noisy = prediction + 0.01 * torch.randn_like(prediction)
    assert torch.equal(match(noisy, target, 0.1, 5), order)


def test_small_epsilon_gives_the_optimal_assignment() -> None:
    prediction, target = torch.randn(8, 5, 4), torch.randn(8, 5, 4)
    found = match(prediction, target, epsilon=0.01, iterations=2000)
    for index in range(8):
        cost = torch.cdist(prediction[index], target[index]).numpy()
        assert found[index].tolist() == linear_sum_assignment(cost)[1].tolist()


def test_marginals_of_the_plan() -> None:
    plan = transport_plan(torch.randn(2, 5, 4), torch.randn(2, 5, 4), epsilon=0.5, iterations=200)
    torch.testing.assert_close(plan.sum(dim=1), torch.ones(2, 5))
    torch.testing.assert_close(plan.sum(dim=2), torch.ones(2, 5), rtol=1e-3, atol=1e-3)


def test_it_is_not_one_to_one_by_construction() -> None:
    """Two predictions at one place choose the same target, however their mass is shared."""
    target, prediction = torch.randn(1, 3, 4), torch.randn(1, 3, 4)
    prediction[0, 2] = prediction[0, 0]
    first, _, third = match(prediction, target, 0.1, 5)[0].tolist()
    assert first == third


def test_sets_of_different_sizes_and_no_gradient() -> None:
    prediction = torch.randn(2, 3, 4, requires_grad=True)
    assert match(prediction, torch.randn(2, 7, 4), 0.1, 5).shape == (2, 3)
    assert not transport_plan(prediction, torch.randn(2, 7, 4), 0.1, 5).requires_grad
