"""One training step of STELLAR: the groups of views one after the other, each forward and backward.

Targets carry no gradient, so the groups are independent given what they are compared with: running
them in turn equals one pass over everything, with the activations of one group alive at a time;
only two whole views that are compared with each other are alive together. Each term is a mean over
its views, so a group can go through in portions as well. What all groups share, the prototypes'
means under the targets, takes its gradient on to the prototypes at the end.

Packed, all groups go through the encoder in one pass: the same terms, in fewer and larger
operations, with the activations of all groups alive.
"""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass

import torch

from stellar.model import Factors
from stellar.model.encoder import Images
from stellar.objective.compared_views import compared
from stellar.objective.global_views import (
    FullView,
    SecondView,
    aligned,
    full_portion,
    full_view,
    second_portion,
    second_view,
    taught_reference,
)
from stellar.objective.losses import Losses, Scalar
from stellar.objective.pretraining_model import PretrainingModel
from stellar.objective.reference import Reference, Targets
from stellar.objective.this_step import ThisStep
from stellar.objective.views import Views
from stellar.precision import Autocast

Finish = Callable[[Losses], Losses]
"""Goes back through some terms at once, and hands on their values."""


@dataclass(frozen=True)
class StepResult:
    """A step's terms and what health is read from, all without gradient."""

    losses: Losses
    total: Scalar
    factors: Factors
    targets: Targets


@dataclass(frozen=True)
class Done:
    """What is left when every group of views is finished but the prototypes' means."""

    full: FullView
    losses: Losses
    second: SecondView | None

    @property
    def references(self) -> tuple[Reference, ...]:
        """All that views were compared with."""
        second = (self.second.reference,) if self.second else ()
        return (self.full.reference, *second)


def step(
    model: PretrainingModel,
    views: Views,
    backward: Callable[[Scalar], None],
    autocast: Autocast = nullcontext,
    views_of_each: int | None = None,
    generator: torch.Generator | None = None,
    pack_views: bool = False,
) -> StepResult:
    """Run the objective on one batch; `backward`, which goes back at once, is called for each
    portion of a group of views that has a term, or with `pack_views` once.

    `autocast` is entered around the networks and the heads' losses (`prototypes.py` says what it
    means there); Sinkhorn, matching and KoLeo are fp32. At most `views_of_each` masked or local
    views of each image are alive at a time; None: all, as packed views always are. `generator` is
    what the noise of `spatial_noise` is drawn from; None: torch's own.
    """

    def finish(losses: Losses) -> Losses:
        total = losses.total(model.weights)
        if total is not None:
            backward(total)
        return losses.detached()

    this = ThisStep(model, autocast, generator)
    taught = taught_reference(this, views.full if views.second is None else views.second)
    if pack_views:
        done = _packed(this, views, taught, finish)
    else:
        done = _in_turn(this, views, taught, finish, views_of_each)
    for reference in done.references:
        reference.finish()
    total = done.losses.total(model.weights)
    return StepResult(
        done.losses,
        total if total is not None else torch.zeros(()),
        done.full.factors,
        done.full.reference.targets,
    )


def _in_turn(
    this: ThisStep,
    views: Views,
    taught: Reference | None,
    finish: Finish,
    views_of_each: int | None,
) -> Done:
    """The whole views, then portion by portion the others, each finished before the next begins."""
    second = None
    if this.model.objective.aligns_globally:
        second = second_view(this, this.encode(second_portion(this, _second(views))))
    portion = full_portion(this, views.full)
    full = full_view(this, portion, this.encode(portion), taught, second)
    losses = finish(full.losses)
    if second is not None:
        losses += finish(aligned(this, second, full))
    for terms, portion in compared(this, views, views_of_each):
        encoded = this.encode(portion)
        losses += finish(terms(this, portion, encoded, full.reference) * portion.share)
    return Done(full, losses, second)


def _packed(this: ThisStep, views: Views, taught: Reference | None, finish: Finish) -> Done:
    """All views encoded together, then all terms, then one way back."""
    whole = [full_portion(this, views.full)]
    if this.model.objective.aligns_globally:
        whole.append(second_portion(this, _second(views)))
    others = list(compared(this, views, None))
    encoded = this.encode_packed([*whole, *(portion for _, portion in others)])
    second = second_view(this, encoded[1]) if len(whole) > 1 else None
    full = full_view(this, whole[0], encoded[0], taught, second)
    losses = full.losses
    if second is not None:
        losses += aligned(this, second, full)
    for (terms, portion), tokens in zip(others, encoded[len(whole) :], strict=True):
        losses += terms(this, portion, tokens, full.reference)
    return Done(full, finish(losses), second)


def _second(views: Views) -> Images:
    assert views.second is not None, "global alignment compares two whole views"
    return views.second
