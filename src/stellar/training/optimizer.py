"""AdamW over what learns, and its state by name."""

import torch
from torch import Tensor, nn

from stellar.config import TrainingConfig
from stellar.model.transformer import no_weight_decay
from stellar.processes.exchange import is_first
from stellar.processes.sharded import by_kind, gathered, split_like


def build_optimizer(model: nn.Module, config: TrainingConfig) -> torch.optim.AdamW:
    """Fused AdamW over everything that learns; `training.decayed` says what decays."""
    learning = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    spares = config.decayed == "matrices"
    others = [p for name, p in learning if spares and no_weight_decay(name, p)]
    decaying = [p for name, p in learning if not (spares and no_weight_decay(name, p))]
    groups = [
        {"params": kind, "weight_decay": decay}
        for parameters, decay in ((decaying, config.weight_decay), (others, 0.0))
        for kind in by_kind(parameters)
    ]
    return torch.optim.AdamW(
        groups, lr=config.learning_rate, betas=(config.beta1, config.beta2), fused=True
    )


def moments(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, dict[str, Tensor]]:
    """AdamW's state by the names of the parameters, whole, on the first process's CPU; empty in
    the others, which must ask for it too where a model is sharded.
    """
    found = {
        name: gathered(optimizer.state[p].items())
        for name, p in model.named_parameters()
        if p in optimizer.state
    }
    return found if is_first() else {}


def set_moments(
    model: nn.Module, optimizer: torch.optim.Optimizer, state: dict[str, dict[str, Tensor]]
) -> None:
    """Put such a state back, on any number of processes, sharded or not."""
    names = {p: name for name, p in model.named_parameters()}
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    split = {
        number: {
            key: split_like(value, p) if value.ndim else value
            for key, value in state[names[p]].items()
        }
        for number, p in enumerate(parameters)
        if names[p] in state
    }
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": split, "param_groups": groups})
