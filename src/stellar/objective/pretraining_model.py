"""What is trained: a STELLAR model, its two prototype heads and, in some recipes, a momentum
teacher.
"""

import copy

import torch
from torch import nn

from stellar.config import ModelConfig, ObjectiveConfig
from stellar.model import VQGAN, Stellar
from stellar.model.transformer import normal
from stellar.objective.losses import weights_of
from stellar.objective.prototypes import PrototypeHead
from stellar.processes.sharded import by_kind


class Teacher(nn.Module):
    """Exponential averages of the encoder (sparse tokens included) and of both heads."""

    def __init__(self, student: "PretrainingModel") -> None:
        super().__init__()
        self.encoder = copy.deepcopy(student.encoder)
        self.sparse_head = copy.deepcopy(student.sparse_head)
        self.cls_head = copy.deepcopy(student.cls_head)
        self.requires_grad_(False)

    @torch.no_grad()
    def update(self, student: "PretrainingModel", momentum: float) -> None:
        """teacher = momentum * teacher + (1 - momentum) * student; once after each optimizer
        step.
        """
        towards = {own: student.get_parameter(name) for name, own in self.named_parameters()}
        for kind in by_kind(towards):
            own, others = tuple(kind), tuple(towards[each] for each in kind)
            torch._foreach_lerp_(own, others, 1 - momentum)  # pyright: ignore[reportPrivateImportUsage]


class PretrainingModel(Stellar):
    """A STELLAR model with everything that only training needs."""

    def __init__(
        self, model: ModelConfig, objective: ObjectiveConfig, tokenizer: VQGAN | None = None
    ) -> None:
        super().__init__(model, tokenizer)
        self.objective = objective
        self.learned_to_draw = objective.on("reconstruction")
        self.weights = weights_of(objective, model.decoder.target)
        sizes = (objective.head_hidden_dim, objective.prototype_dim, objective.num_prototypes)
        self.sparse_head = PrototypeHead(model.embed_dim, *sizes)
        self.cls_head = PrototypeHead(model.embed_dim, *sizes)
        # Stands in for the patches that a masked view hides, where they are to be drawn.
        self.mask_token = (
            nn.Parameter(normal(1, 1, model.embed_dim, std=0.02))
            if objective.on("masked_reconstruction")
            else None
        )
        self.teacher = None if objective.teacher == "none" else Teacher(self)
