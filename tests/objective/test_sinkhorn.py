"""Sinkhorn: its marginals, its invariances, and agreement with float64."""

import pytest
import torch

from stellar.objective.sinkhorn import sinkhorn


def plain(logits: torch.Tensor, temperature: float, iterations: int, scale: float) -> torch.Tensor:
    """The definition, word by word, in double precision."""
    q = torch.exp((logits.double() - logits.double().amax(dim=0)) / temperature)
    for _ in range(iterations):
        q = q / q.sum(dim=0) ** scale
        q = q / q.sum(dim=1, keepdim=True)
    return q


@pytest.mark.parametrize("iterations", [1, 3, 10])
@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_against_the_definition_in_double_precision(iterations: int, scale: float) -> None:
    logits = torch.randn(40, 30)
    q = sinkhorn(logits, 0.06, iterations, scale).assignment(logits)
    expected = plain(logits, 0.06, iterations, scale)
    total_variation = (q - expected).abs().sum(dim=1).max() / 2
    assert total_variation < 1e-4


def test_rows_sum_to_one_and_many_rounds_balance_the_prototypes() -> None:
    logits = torch.randn(64, 16)
    q = sinkhorn(logits, 0.5, 200).assignment(logits)
    torch.testing.assert_close(q.sum(dim=1), torch.ones(64))
    torch.testing.assert_close(q.sum(dim=0), torch.full((16,), 4.0), rtol=1e-3, atol=0)


def test_a_constant_per_prototype_or_row_does_not_matter() -> None:
    logits = torch.randn(20, 8)
    q = sinkhorn(logits, 0.5, 3).assignment(logits)
    shifted = logits + torch.randn(8)
    torch.testing.assert_close(
        sinkhorn(shifted, 0.5, 3).assignment(shifted), q, rtol=1e-4, atol=1e-6
    )


def test_a_smaller_scale_balances_less() -> None:
    logits = torch.randn(64, 16) + 2 * torch.randn(16)

    def imbalance(scale: float) -> float:
        return sinkhorn(logits, 0.5, 3, scale).assignment(logits).sum(dim=0).std().item()

    assert imbalance(1.0) < imbalance(0.5) < imbalance(0.1)


def test_rows_of_the_assignment_can_be_taken_apart() -> None:
    logits = torch.randn(20, 8)
    potentials = sinkhorn(logits, 0.06, 3)
    part = potentials.assignment(logits[5:9], slice(5, 9))
    torch.testing.assert_close(part, potentials.assignment(logits)[5:9])


def test_extreme_logits_stay_finite() -> None:
    logits = torch.tensor([[60.0, -60.0], [-60.0, 60.0], [59.0, -60.0]])
    q = sinkhorn(logits, 0.06, 3).assignment(logits)
    assert torch.isfinite(q).all()
    torch.testing.assert_close(q[1], torch.tensor([0.0, 1.0]))


def test_no_gradient() -> None:
    logits = torch.randn(4, 3, requires_grad=True)
    assert not sinkhorn(logits, 0.06, 3).row.requires_grad
