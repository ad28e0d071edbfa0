"""Terms and their weights, in one place."""

import pytest
import torch

from stellar.config import ObjectiveConfig
from stellar.objective import Losses
from stellar.objective.losses import term, weights_of


def test_total_is_the_weighted_sum_of_what_is_there() -> None:
    weights = weights_of(ObjectiveConfig(), "pixels")
    losses = Losses(reconstruction=torch.tensor(0.5), koleo=torch.tensor(2.0))
    assert losses.total(weights) == torch.tensor(10 * 0.5 + 0.1 * 2.0)
    assert Losses().total(weights) is None


@pytest.mark.parametrize(("target", "weight"), [("pixels", 10.0), ("codes", 0.05)])
def test_weight_of_the_reconstruction(target: str, weight: float) -> None:
    assert weights_of(ObjectiveConfig(), target)["reconstruction"] == weight
    own = ObjectiveConfig(reconstruction_weight=3.0)
    assert weights_of(own, target)["reconstruction"] == 3.0


def test_groups_add_up() -> None:
    full = Losses(reconstruction=torch.tensor(1.0), koleo=torch.tensor(2.0))
    masked = Losses(set_alignment=torch.tensor(3.0), koleo=torch.tensor(4.0))
    total = full + masked
    assert dict(total.present()) == {
        "reconstruction": torch.tensor(1.0),
        "set_alignment": torch.tensor(3.0),
        "koleo": torch.tensor(6.0),
    }


def explode(_: torch.Tensor) -> torch.Tensor:
    raise AssertionError


def test_a_term_that_is_off_is_not_computed() -> None:
    two = torch.tensor(2.0)
    assert term(ObjectiveConfig(koleo_weight=0.0), "koleo", two, explode) is None
    assert term(ObjectiveConfig(koleo_weight=0.0), "koleo", None, explode) is None
    assert term(ObjectiveConfig(), "koleo", two, lambda it: it + 1) == 3


def test_a_term_that_is_on_is_never_left_out() -> None:
    with pytest.raises(AssertionError, match="koleo is on, and nothing was made for it"):
        term(ObjectiveConfig(), "koleo", None, explode)
