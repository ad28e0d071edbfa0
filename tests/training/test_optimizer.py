"""AdamW: what decays, and with which betas."""

import pytest
from torch import nn

from stellar.config import ObjectiveConfig, RunConfig, TrainingConfig
from stellar.model.transformer import no_weight_decay
from stellar.objective import PretrainingModel
from stellar.training.optimizer import build_optimizer


def decays(model: nn.Module, config: TrainingConfig) -> dict[str, float]:
    """By the name of each parameter."""
    optimizer = build_optimizer(model, config)
    names = {parameter: name for name, parameter in model.named_parameters()}
    return {
        names[parameter]: group["weight_decay"]
        for group in optimizer.param_groups
        for parameter in group["params"]
    }


@pytest.mark.parametrize("decayed", ["matrices", "all"])
def test_what_decays(config: RunConfig, decayed: str) -> None:
    model = PretrainingModel(config.model, ObjectiveConfig(num_prototypes=8))
    training = TrainingConfig(weight_decay=0.3, decayed=decayed)  # pyright: ignore
    found = decays(model, training)
    assert found.keys() == dict(model.named_parameters()).keys()
    for name, parameter in model.named_parameters():
        spared = decayed == "matrices" and no_weight_decay(name, parameter)
        assert found[name] == (0.0 if spared else 0.3)
    assert (0.0 in found.values()) == (decayed == "matrices")


def test_betas(config: RunConfig) -> None:
    model = PretrainingModel(config.model, ObjectiveConfig(num_prototypes=8))
    optimizer = build_optimizer(model, TrainingConfig(beta1=0.8, beta2=0.999))
    assert all(group["betas"] == (0.8, 0.999) for group in optimizer.param_groups)
