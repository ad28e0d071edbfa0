"""The fast step against the plain one: the same losses and gradients."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from plain_step import plain_step
from stellar.config import ModelConfig, ObjectiveConfig
from stellar.objective import PretrainingModel, Views, step


@pytest.mark.parametrize("pack_views", [False, True], ids=["in turn", "packed"])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"teacher": "constant"},
        {"global_alignment": "matched"},
        {"global_alignment": "published"},
    ],
    ids=["by itself", "teacher", "global", "global as published"],
)
@pytest.mark.parametrize("pooled_dense", [False, True], ids=["S", "S and pooled U"])
@pytest.mark.parametrize("slot_rounds", [0, 2], ids=["tokens", "slots"])
def test_same_losses_and_gradients(
    small: ModelConfig,
    slot_rounds: int,
    pooled_dense: bool,
    changes: dict[str, Any],
    pack_views: bool,
) -> None:
    objective = ObjectiveConfig(
        num_prototypes=12,
        prototype_dim=8,
        head_hidden_dim=16,
        pooled_dense=pooled_dense,
        **changes,
    )
    model = PretrainingModel(replace(small, slot_rounds=slot_rounds), objective)
    keep = torch.stack([torch.randperm(16)[:8] for _ in range(6)])
    full, masked, local, second = (
        torch.rand(count, 3, size, size) for count, size in ((3, 16), (6, 16), (6, 8), (3, 16))
    )
    views = Views(full, masked, keep, local, second)
    total, expected = plain_step(model, views)
    total.backward()
    gradients = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    result = step(model, views, lambda loss: loss.backward(), pack_views=pack_views)
    for (name, value), (other, reference) in zip(
        result.losses.present(), expected.present(), strict=True
    ):
        assert name == other
        torch.testing.assert_close(value, reference.detach(), rtol=1e-5, atol=0)
    for name, gradient in gradients.items():
        actual = model.get_parameter(name).grad
        assert actual is not None
        assert (actual - gradient).norm() <= 1e-3 * gradient.norm() + 1e-5
