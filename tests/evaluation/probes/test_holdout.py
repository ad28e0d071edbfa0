"""What heads are fitted on: their steps are counted as they are made."""

import pytest
import torch

from stellar.evaluation.probes.holdout import hold_out, num_steps, shuffled


@pytest.mark.parametrize("count", [1, 2, 9, 19, 20, 71, 72])
@pytest.mark.parametrize("epochs", [1, 3])
def test_steps_are_counted_as_they_are_made(count: int, epochs: int) -> None:
    generator = torch.Generator().manual_seed(0)
    _, fitted = hold_out(count, generator)
    made = list(shuffled(fitted, epochs, 16, generator))
    assert num_steps(count, epochs, 16) == len(made)
