"""KoLeo: by hand, its gradient, and where the published code gives inf."""

import math

import torch

from stellar.objective.koleo import koleo


def brute_force(tokens: torch.Tensor) -> float:
    total, count = 0.0, 0
    for image in tokens.double():
        unit = image / image.norm(dim=1, keepdim=True)
        for i in range(len(unit)):
            nearest = min((unit[i] - unit[j]).norm().item() for j in range(len(unit)) if j != i)
            total, count = total - math.log(0.5 * nearest + 1e-8), count + 1
    return total / count


def test_against_a_brute_force() -> None:
    tokens = torch.randn(3, 5, 8)
    assert abs(koleo(tokens).item() - brute_force(tokens)) < 1e-4


def test_only_tokens_of_the_same_image_are_neighbours() -> None:
    tokens = torch.randn(1, 4, 8)
    torch.testing.assert_close(koleo(tokens.repeat(3, 1, 1)), koleo(tokens))


def test_coinciding_tokens_in_half_precision_are_finite() -> None:
    tokens = torch.ones(1, 3, 8, dtype=torch.float16, requires_grad=True)
    loss = koleo(tokens)
    loss.backward()
    assert loss.dtype == torch.float32
    assert torch.isfinite(loss)
    assert tokens.grad is not None
    assert torch.isfinite(tokens.grad).all()


def test_descending_spreads_the_tokens() -> None:
    tokens = (torch.ones(1, 4, 8) + 0.1 * torch.randn(1, 4, 8)).requires_grad_()
    before = koleo(tokens)
    for _ in range(50):
        (gradient,) = torch.autograd.grad(koleo(tokens), tokens)
        tokens = (tokens - 0.1 * gradient).detach().requires_grad_()
    assert koleo(tokens) < before - 0.5


def test_one_token_has_nothing_to_keep_away_from() -> None:
    assert koleo(torch.randn(2, 1, 8)).item() == 0
