"""One training step of STELLAR: the groups of views one after the other, each forward and backward.

Targets carry no gradient, so the groups are independent given the full view's targets: running
them in turn equals one pass over everything, with the activations of one group alive at a time.
Each term is a mean over its views, so a group can go through in portions as well. What all groups
share, the prototypes' means under the targets, takes its gradient on to the prototypes at the end.
"""

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Float, Int
from torch import Tensor

from stellar.model import Factors
from stellar.model.encoder import Images, Tokens
from stellar.objective.drawing import masked_reconstruction, reconstruction, what_to_draw
from stellar.objective.koleo import koleo
from stellar.objective.losses import Losses, Scalar, term
from stellar.objective.matching import match
from stellar.objective.pretraining import PretrainingModel, Teacher
from stellar.objective.prototypes import Assignment, assign, cross_entropy, mean_prototype
from stellar.precision import Autocast


@dataclass(frozen=True)
class Views:
    """The views of B images on the device; those of one image are adjacent."""

    full: Images
    masked: Float[Tensor, "BV C H W"]
    keep: Int[Tensor, "BV n"] | None
    """Patches that each masked view keeps; None: all."""
    local: Float[Tensor, "BW C h w"]
    teacher: Images | None = None
    """The second global view, which the teacher encodes."""


@dataclass(frozen=True)
class Targets:
    """What the other views are compared with: raw S, and the assignments of S and cls, where a
    term reads them.
    """

    sparse: Float[Tensor, "B K D"]
    token: Assignment | None
    cls: Assignment | None


class Mean:
    """The prototypes' means under a target, for every group of views; `gathered` collects their
    gradient over the groups.
    """

    def __init__(self, prototypes: Float[Tensor, "C d"], target: Assignment) -> None:
        self.prototypes, self.mean = prototypes, mean_prototype(prototypes, target)
        self.gathered = self.mean.detach().requires_grad_()

    def finish(self) -> None:
        """Take the gradient on to the prototypes."""
        if self.gathered.grad is not None:
            self.mean.backward(self.gathered.grad)


@dataclass(frozen=True)
class Means:
    """Of both heads, where a term reads them."""

    token: Mean | None
    cls: Mean | None

    def finish(self) -> None:
        """Take their gradients on to the prototypes."""
        for mean in (self.token, self.cls):
            if mean is not None:
                mean.finish()


@dataclass(frozen=True)
class StepResult:
    """A step's terms and what health is read from, all without gradient."""

    losses: Losses
    total: Scalar
    factors: Factors
    targets: Targets


def step(
    model: PretrainingModel,
    views: Views,
    backward: Callable[[Scalar], None],
    autocast: Autocast = nullcontext,
    views_of_each: int | None = None,
    generator: torch.Generator | None = None,
) -> StepResult:
    """Run the objective on one batch; `backward`, which goes back at once, is called for each
    portion of a group of views that has a term.

    `autocast` is entered around the networks and the heads' losses (`prototypes.py` says what it
    means there); Sinkhorn, matching and KoLeo are fp32. At most `views_of_each` masked or local
    views of each image are alive at a time; None: all. `generator` is what the noise of
    `spatial_noise` is drawn from; None: torch's own.
    """

    def finish(losses: Losses, share: float = 1.0) -> Losses:
        losses = losses * share
        total = losses.total(model.weights)
        if total is not None:
            backward(total)
        return losses.detached()

    teacher_targets = _teacher_targets(model, views, autocast)
    losses, factors, targets, means = _full(model, views.full, teacher_targets, autocast, generator)
    done = finish(losses)
    batch = len(views.full)
    if model.objective.uses_masked:
        for images, keep, share in _portions(views.masked, views.keep, batch, views_of_each):
            done += finish(_masked(model, images, keep, targets, means, autocast), share)
    if model.objective.on("cls_local"):
        for images, _, share in _portions(views.local, None, batch, views_of_each):
            done += finish(_local(model, images, means, autocast), share)
    means.finish()
    total = done.total(model.weights)
    return StepResult(done, total if total is not None else torch.zeros(()), factors, targets)


def _portions(
    views: Float[Tensor, "BV C H W"],
    keep: Int[Tensor, "BV n"] | None,
    batch: int,
    views_of_each: int | None,
) -> Iterator[tuple[Tensor, Tensor | None, float]]:
    """A group in portions of some views of every image, each with its share of the group."""
    per_image = len(views) // batch
    for start in range(0, per_image, views_of_each or max(per_image, 1)):
        some = slice(start, start + views_of_each if views_of_each else None)
        images = views.unflatten(0, (batch, per_image))[:, some]
        kept = (
            None if keep is None else keep.unflatten(0, (batch, per_image))[:, some].flatten(0, 1)
        )
        yield images.flatten(0, 1), kept, images.shape[1] / per_image


def _full(
    model: PretrainingModel,
    images: Images,
    teacher_targets: Targets | None,
    autocast: Autocast,
    generator: torch.Generator | None,
) -> tuple[Losses, Factors, Targets, Means]:
    """The full view: reconstruction, both clustering terms, KoLeo, and the targets unless a
    teacher gave them.
    """
    on = partial(term, model.objective)
    drawn = model.objective.on("reconstruction")
    drawing = what_to_draw(model, images, autocast) if drawn else None
    with autocast(), torch.set_grad_enabled(model.objective.uses_full):
        factors = model.encode(images)
        sparse = _tokens(model, factors)
        tokens, cls = _features(model, sparse, factors.cls, model)
    targets = teacher_targets or _targets(model, sparse, tokens, cls, model)
    means = _means(model, targets, autocast)
    matched = None
    if teacher_targets is not None and targets.token is not None:
        matched = _matched_rows(model, sparse, targets.sparse)
    losses = Losses(
        reconstruction=on(
            "reconstruction", lambda: reconstruction(model, drawing, factors, autocast, generator)
        ),
        token_clustering=on(
            "token_clustering",
            lambda: _predict(model, tokens, means.token, matched, autocast),
        ),
        cls_clustering=on(
            "cls_clustering", lambda: _predict(model, cls, means.cls, None, autocast)
        ),
        koleo=on("koleo", lambda: koleo(sparse)),
    )
    return losses, _detached(factors), targets, means


def _masked(
    model: PretrainingModel,
    images: Images,
    keep: Int[Tensor, "BV n"] | None,
    targets: Targets,
    means: Means,
    autocast: Autocast,
) -> Losses:
    """The masked views: set alignment, cls alignment, KoLeo, and what they hide drawn again."""
    redraws = model.objective.on("masked_reconstruction")
    drawing = what_to_draw(model, images, autocast) if redraws else None
    read = "all" if redraws else "tokens"
    with autocast():
        encoded = model.encoder(images, keep, read)
        sparse = _tokens(model, encoded)
        tokens, cls = _features(model, sparse, encoded.cls, model)
    on = partial(term, model.objective)
    return Losses(
        set_alignment=on(
            "set_alignment",
            lambda: _predict(
                model,
                tokens,
                means.token,
                _matched_rows(model, sparse, targets.sparse),
                autocast,
            ),
        ),
        cls_masked=on(
            "cls_masked",
            lambda: _predict(model, cls, means.cls, _view_rows(cls, means.cls), autocast),
        ),
        koleo=on("koleo", lambda: koleo(sparse)),
        masked_reconstruction=on(
            "masked_reconstruction",
            lambda: masked_reconstruction(
                model, drawing, keep, encoded.dense, model.encoder.grid(images), autocast
            ),
        ),
    )


def _local(model: PretrainingModel, images: Images, means: Means, autocast: Autocast) -> Losses:
    """The local crops: cls alignment."""
    with autocast():
        encoded = model.encoder(images, read="cls")
        cls = model.cls_head(encoded.cls)
    rows = _view_rows(cls, means.cls)
    return Losses(cls_local=_predict(model, cls, means.cls, rows, autocast))


@torch.no_grad()
def _teacher_targets(model: PretrainingModel, views: Views, autocast: Autocast) -> Targets | None:
    teacher = model.teacher
    if teacher is None:
        return None
    with autocast():
        encoded = teacher.encoder(
            views.full if views.teacher is None else views.teacher, read="tokens"
        )
        sparse = _tokens(model, encoded)
        tokens, cls = _features(model, sparse, encoded.cls, teacher)
    return _targets(model, sparse, tokens, cls, teacher)


def _tokens(model: PretrainingModel, encoded: Tokens | Factors) -> Float[Tensor, "B K D"]:
    """S; every patch where there is a dense bottleneck instead."""
    return encoded.dense if model.config.bottleneck else encoded.sparse


def _features(
    model: PretrainingModel, sparse: Tensor, cls: Tensor, heads: PretrainingModel | Teacher
) -> tuple[Tensor | None, Tensor | None]:
    """S and cls as the heads see them, each where a term of the objective is about it."""
    on = model.objective.on
    return (
        heads.sparse_head(sparse) if on("token_clustering", "set_alignment") else None,
        heads.cls_head(cls) if on("cls_clustering", "cls_masked", "cls_local") else None,
    )


def _targets(
    model: PretrainingModel,
    sparse: Tensor,
    tokens: Tensor | None,
    cls: Tensor | None,
    heads: PretrainingModel | Teacher,
) -> Targets:
    """Balanced assignments under the heads that made these features."""
    config = model.objective
    balance = (config.target_temperature, config.sinkhorn_iterations, config.sinkhorn_scale)
    return Targets(
        sparse=sparse.detach(),
        token=None if tokens is None else assign(tokens, heads.sparse_head.prototypes, *balance),
        cls=None if cls is None else assign(cls, heads.cls_head.prototypes, *balance),
    )


def _means(model: PretrainingModel, targets: Targets, autocast: Autocast) -> Means:
    """Of the student's prototypes."""
    with autocast():
        return Means(
            targets.token and Mean(model.sparse_head.prototypes, targets.token),
            targets.cls and Mean(model.cls_head.prototypes, targets.cls),
        )


def _predict(
    model: PretrainingModel,
    features: Float[Tensor, "N d"] | None,
    mean: Mean | None,
    rows: Int[Tensor, "N"] | None,
    autocast: Autocast,
) -> Scalar:
    """Cross-entropy of the head's prediction to rows of the target (all, in order, when None)."""
    assert features is not None
    assert mean is not None
    target = mean.gathered if rows is None else mean.gathered.index_select(0, rows)
    tau = model.objective.prediction_temperature
    with autocast():
        return cross_entropy(features, target, mean.prototypes, tau)


def _matched_rows(
    model: PretrainingModel, prediction: Float[Tensor, "BV K D"], target: Float[Tensor, "B J D"]
) -> Int[Tensor, "BVK"]:
    """Row, among the target tokens of all images, that each predicted token is matched to."""
    config = model.objective
    image = torch.arange(len(target), device=target.device)
    image = image.repeat_interleave(len(prediction) // len(target))
    index = match(
        prediction.detach(), target[image], config.matching_epsilon, config.matching_iterations
    )
    return (index + image[:, None] * target.shape[1]).flatten()


def _view_rows(views: Float[Tensor, "BV d"] | None, mean: Mean | None) -> Int[Tensor, "BV"]:
    """Row of the image that each view was cut from."""
    assert views is not None
    assert mean is not None
    images = len(mean.mean)
    return torch.arange(images, device=views.device).repeat_interleave(len(views) // images)


def _detached(factors: Factors) -> Factors:
    return Factors(
        factors.cls.detach(),
        factors.sparse.detach(),
        factors.spatial.detach(),
        factors.dense.detach(),
        factors.grid,
    )
