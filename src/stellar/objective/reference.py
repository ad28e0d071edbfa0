"""A view that others are compared with: its raw S, and the assignments of its S and cls to the
prototypes.

The means of the prototypes under an assignment, t = W' q, are computed once. Every prediction
compared with them sends them a gradient, which is gathered, and goes on to the prototypes at the
end of the step.
"""

from dataclasses import dataclass

from jaxtyping import Float, Int
from torch import Tensor

from stellar.objective.losses import Scalar
from stellar.objective.pretraining_model import PretrainingModel, Teacher
from stellar.objective.prototypes import (
    Assignment,
    PrototypeHead,
    assign,
    cross_entropy,
    mean_prototype,
)
from stellar.objective.this_step import ThisStep


@dataclass(frozen=True)
class Targets:
    """Raw S, and the assignments of S and cls, where a term reads them; all without gradient."""

    sparse: Float[Tensor, "B K D"]
    token: Assignment | None
    cls: Assignment | None


class Aim:
    """A head of the model, and an assignment that its predictions are compared with."""

    def __init__(self, this: ThisStep, network: PrototypeHead, assignment: Assignment) -> None:
        self.this, self.network = this, network
        with this.autocast():
            self.mean = mean_prototype(network.prototypes, assignment)
        self.gathered = self.mean.detach().requires_grad_()

    def features(self, tokens: Float[Tensor, "*rows D"]) -> Float[Tensor, "N d"]:
        """What the head makes of tokens, of whatever views."""
        with self.this.autocast():
            return self.network(tokens)

    def loss(self, features: Float[Tensor, "N d"], rows: Int[Tensor, "N"] | None = None) -> Scalar:
        """Cross-entropy to rows of the assignment; None: to all of them, in order."""
        wanted = self.gathered if rows is None else self.gathered.index_select(0, rows)
        tau = self.this.model.objective.prediction_temperature
        with self.this.autocast():
            return cross_entropy(features, wanted, self.network.prototypes, tau)

    def finish(self) -> None:
        """Take the gradient of the means on to the prototypes."""
        if self.gathered.grad is not None:
            self.mean.backward(self.gathered.grad)


@dataclass(frozen=True)
class Answers:
    """What the heads make of a whole view."""

    sparse: Float[Tensor, "B K D"]
    """Raw S."""
    token: Float[Tensor, "N d"] | None
    """Features of S, where a term is about them."""
    cls: Float[Tensor, "B d"] | None
    """Features of cls, where a term is about them."""


@dataclass(frozen=True)
class Reference:
    """A view that others are compared with."""

    targets: Targets
    token: Aim | None
    """Of S, where a term is about it."""
    cls: Aim | None
    """Of cls, where a term is about it."""

    @classmethod
    def of(cls, this: ThisStep, heads: PretrainingModel | Teacher, answers: Answers) -> "Reference":
        """From the answers of a model's heads, or of its teacher's."""
        model = this.model
        targets = Targets(
            sparse=answers.sparse.detach(),
            token=_balanced(this, heads.sparse_head, answers.token),
            cls=_balanced(this, heads.cls_head, answers.cls),
        )
        token = Aim(this, model.sparse_head, targets.token) if targets.token else None
        return cls(targets, token, Aim(this, model.cls_head, targets.cls) if targets.cls else None)

    def finish(self) -> None:
        """Take all gathered gradients on to the prototypes."""
        for aim in (self.token, self.cls):
            if aim is not None:
                aim.finish()


def _balanced(
    this: ThisStep, head: PrototypeHead, features: Float[Tensor, "N d"] | None
) -> Assignment | None:
    """The balanced assignment of features, under the head that made them."""
    if features is None:
        return None
    config = this.model.objective
    balance = (config.target_temperature, config.sinkhorn_iterations, config.sinkhorn_scale)
    return assign(features, head.prototypes, *balance)
