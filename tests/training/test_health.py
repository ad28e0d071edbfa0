"""Health figures: each kind of collapse is seen by at least one of them, and a healthy model by
none.
"""

import math

import torch
from torch import Tensor

from stellar.model import Factors
from stellar.objective import Losses, StepResult
from stellar.objective.prototypes import assign
from stellar.objective.step import Targets
from stellar.training.health import (
    Health,
    effective_rank,
    entropy,
    measure_health,
    prototype_use,
    slot_separation,
    token_spread,
)


def result(tokens: Tensor, spatial: Tensor) -> StepResult:
    factors = Factors(tokens[:, 0], tokens, spatial, torch.randn(len(tokens), 9, 32), (3, 3))
    features = torch.nn.functional.normalize(torch.randn(len(tokens) * 4, 8), dim=1)
    target = assign(features, torch.randn(16, 8), 0.06, 3, 1.0)
    return StepResult(Losses(), torch.zeros(()), factors, Targets(tokens, target, target))


def health(tokens: Tensor, spatial: Tensor | None = None) -> Health:
    even = torch.full((len(tokens), 9, 4), 0.25)
    return measure_health(result(tokens, even if spatial is None else spatial), 0.12)


def test_random_tokens_are_well() -> None:
    figures = health(torch.randn(64, 4, 32))
    assert figures.warnings() == {}
    assert figures.effective_rank > 25
    assert 0.9 < figures.token_spread < 1.1


def test_a_constant_with_noise_is_seen_by_the_spread() -> None:
    tokens = torch.ones(64, 4, 32) + 0.01 * torch.randn(64, 4, 32)
    assert effective_rank(tokens.flatten(0, 1)) > 25
    assert set(health(tokens).warnings()) == {"token_spread"}


def test_a_line_is_seen_by_the_rank() -> None:
    tokens = torch.randn(64, 4, 1) * torch.randn(32)
    assert token_spread(tokens.flatten(0, 1)) > 0.5
    assert set(health(tokens).warnings()) == {"effective_rank"}


def test_one_token_for_all_patches_is_seen_by_its_share() -> None:
    spatial = torch.zeros(64, 9, 4)
    spatial[:, :, 2] = 1
    figures = health(torch.randn(64, 4, 32), spatial)
    assert set(figures.warnings()) == {"largest_share"}
    assert (figures.largest_share, figures.smallest_share) == (1.0, 0.0)


def test_a_single_token_explains_all_patches_and_is_well() -> None:
    figures = health(torch.randn(64, 1, 32), torch.ones(64, 9, 1))
    assert figures.warnings() == {}
    assert not {"largest_share", "smallest_share"} & figures.as_row().keys()


def use_of(prototype_of_row: list[int]) -> Tensor:
    """The use of 8 prototypes by 4 tokens, when each row is exactly one of them."""
    prototypes = 100 * torch.eye(8)
    features = torch.eye(8)[prototype_of_row]
    return prototype_use(assign(features, prototypes, 1.0, 3, 1.0), 4, 0.12)


def test_use_counts_the_prototypes_of_each_token() -> None:
    use = use_of([0, 1, 2, 3] * 4 + [4, 1, 2, 3] * 4)
    torch.testing.assert_close(use[0], torch.tensor([0.5, 0, 0, 0, 0.5, 0, 0, 0]))
    assert abs(torch.exp(entropy(use.mean(dim=0))).item() - 4.757) < 1e-3


def test_separation_tells_slots_from_a_set() -> None:
    assert abs(slot_separation(use_of([0, 1, 2, 3] * 4)) - 1) < 1e-4
    rotated = [(row + image) % 4 for image in range(4) for row in range(4)]
    assert abs(slot_separation(use_of(rotated))) < 1e-4
    assert slot_separation(torch.full((1, 8), 1 / 8)) == 0


def test_tokens_that_are_not_finite_end_nothing() -> None:
    """The step is skipped and told of; its figures are NaN."""
    assert math.isnan(effective_rank(torch.full((4, 3), float("nan"))))
