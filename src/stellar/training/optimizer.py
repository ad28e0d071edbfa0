"""AdamW over what learns."""

import torch
from torch import nn

from stellar.config import TrainingConfig
from stellar.model.transformer import no_weight_decay


def build_optimizer(model: nn.Module, config: TrainingConfig) -> torch.optim.AdamW:
    """Fused AdamW over everything that learns; no decay on norms, biases, tokens and position
    tables.
    """
    learning = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    groups = [
        {
            "params": [p for name, p in learning if not no_weight_decay(name, p)],
            "weight_decay": config.weight_decay,
        },
        {
            "params": [p for name, p in learning if no_weight_decay(name, p)],
            "weight_decay": 0.0,
        },
    ]
    return torch.optim.AdamW(
        groups, lr=config.learning_rate, betas=(config.beta1, config.beta2), fused=True
    )
