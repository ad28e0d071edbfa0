"""One training step of STELLAR: the groups of views one after the other, each forward and backward.

Targets carry no gradient, so the groups are independent given the full view's targets: running
them in turn equals one pass over everything, with the activations of one group alive at a time.
Each term is a mean over its views, so a group can go through in portions as well. What all groups
share, the prototypes' means under the targets, takes its gradient on to the prototypes at the end.

Packed, all groups go through the encoder in that one pass: the same terms, in fewer and larger
operations, with the activations of all groups alive.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Float, Int
from torch import Tensor

from stellar.model import Factors
from stellar.model.encoder import Images, Request, Tokens
from stellar.model.factorization import pooled
from stellar.objective.koleo import koleo
from stellar.objective.losses import Losses, Scalar, term
from stellar.objective.matching import match
from stellar.objective.pretraining_model import PretrainingModel
from stellar.objective.prototypes import (
    Assignment,
    PrototypeHead,
    assign,
    cross_entropy,
    mean_prototype,
)
from stellar.objective.reconstruction_terms import (
    Drawing,
    drawing_of,
    masked_reconstruction,
    reconstruction,
)
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
    taught = _taught(this, views)
    if pack_views:
        full, done = _packed(this, views, taught, finish)
    else:
        full, done = _in_turn(this, views, taught, finish, views_of_each)
    for head in (full.token, full.cls):
        if head is not None:
            head.finish()
    total = done.total(model.weights)
    return StepResult(
        done, total if total is not None else torch.zeros(()), full.factors, full.targets
    )


@dataclass(frozen=True)
class Portion:
    """Views of one group that are encoded together."""

    request: Request
    drawing: Drawing | None = None
    """What the decoder is to draw of them, where a term is about that."""
    share: float = 1.0
    """Of its group."""
    learns: bool = True
    """Whether a term sends a gradient through them."""


@dataclass(frozen=True)
class ThisStep:
    """What is the same for every group of views: the model, and how it is computed."""

    model: PretrainingModel
    autocast: Autocast
    generator: torch.Generator | None

    def encode(self, portion: Portion) -> Tokens:
        """A portion by itself."""
        request = portion.request
        with self.autocast(), torch.set_grad_enabled(portion.learns):
            return self.model.encoder(request.images, request.keep, request.read)

    def encode_packed(self, portions: Sequence[Portion]) -> list[Tokens]:
        """Several portions: those that learn in one pass."""
        learning = [portion.request for portion in portions if portion.learns]
        with self.autocast():
            packed = iter(self.model.encoder.encode_packed(learning) if learning else ())
        return [next(packed) if portion.learns else self.encode(portion) for portion in portions]

    def balanced_target(self, head: PrototypeHead, features: Float[Tensor, "N d"]) -> Assignment:
        """The balanced assignment of features, under the head that made them."""
        config = self.model.objective
        balance = (config.target_temperature, config.sinkhorn_iterations, config.sinkhorn_scale)
        return assign(features, head.prototypes, *balance)


class HeadInStep:
    """A head, its target for the full view, and the prototypes' means under that target, which the
    predictions for all groups of views are compared with. `gathered` collects the gradient of the
    means over the groups.
    """

    def __init__(self, this: ThisStep, network: PrototypeHead, target: Assignment) -> None:
        self.this, self.network, self.target = this, network, target
        with this.autocast():
            self.mean = mean_prototype(network.prototypes, target)
        self.gathered = self.mean.detach().requires_grad_()

    def predict(self, tokens: Float[Tensor, "*rows D"]) -> "Prediction":
        """What the head says of tokens, of whatever views."""
        with self.this.autocast():
            return Prediction(self, self.network(tokens))

    def finish(self) -> None:
        """Take the gradient of the means on to the prototypes."""
        if self.gathered.grad is not None:
            self.mean.backward(self.gathered.grad)


@dataclass(frozen=True)
class Prediction:
    """What a head says of some tokens."""

    head: HeadInStep
    features: Float[Tensor, "N d"]

    def loss(self, rows: Int[Tensor, "N"] | None = None) -> Scalar:
        """Cross-entropy to rows of the target; None: to all of them, in order."""
        means, this = self.head.gathered, self.head.this
        wanted = means if rows is None else means.index_select(0, rows)
        tau = this.model.objective.prediction_temperature
        with this.autocast():
            return cross_entropy(self.features, wanted, self.head.network.prototypes, tau)

    def own_image(self) -> Int[Tensor, "N"]:
        """Row of the image that each view was cut from, where there is one token a view."""
        images = len(self.head.gathered)
        rows = torch.arange(images, device=self.features.device)
        return rows.repeat_interleave(len(self.features) // images)


@dataclass(frozen=True)
class FullView:
    """What the other groups of views need of the full view, and its own terms."""

    losses: Losses
    factors: Factors
    targets: Targets
    token: HeadInStep | None
    """Of S, where a term is about it."""
    cls: HeadInStep | None
    """Of cls, where a term is about it."""


Terms = Callable[[ThisStep, Portion, Tokens, FullView], Losses]
"""What computes the terms of a portion that is encoded, given the full view."""


def _in_turn(
    this: ThisStep,
    views: Views,
    taught: Targets | None,
    finish: Callable[[Losses], Losses],
    views_of_each: int | None,
) -> tuple[FullView, Losses]:
    """The full view, then portion by portion the others, each finished before the next begins."""
    full = _full_alone(this, views.full, taught)
    done = finish(full.losses)
    for terms, portion in _compared(this, views, views_of_each):
        done += finish(terms(this, portion, this.encode(portion), full) * portion.share)
    return full, done


def _packed(
    this: ThisStep,
    views: Views,
    taught: Targets | None,
    finish: Callable[[Losses], Losses],
) -> tuple[FullView, Losses]:
    """All views encoded together, then all terms, then one way back."""
    own, others = _full_portion(this, views.full), list(_compared(this, views, None))
    own_tokens, *tokens = this.encode_packed([own, *(portion for _, portion in others)])
    full = _full(this, own, own_tokens, taught)
    losses = full.losses
    for (terms, portion), encoded in zip(others, tokens, strict=True):
        losses += terms(this, portion, encoded, full)
    return full, finish(losses)


def _compared(
    this: ThisStep, views: Views, views_of_each: int | None
) -> Iterator[tuple[Terms, Portion]]:
    """The portions of the views that are compared with the full one, masked before local, as far
    as a term reads them; each with what computes its terms.
    """
    model, batch = this.model, len(views.full)
    redraws = model.objective.on("masked_reconstruction")
    read = "all" if model.objective.reads_masked_patches(model.config) else "tokens"
    if model.objective.uses_masked:
        for images, keep, share in _portions(views.masked, views.keep, batch, views_of_each):
            drawing = drawing_of(model, images, this.autocast) if redraws else None
            request = Request(images, keep, read)
            yield _masked, Portion(request, drawing, share)
    if model.objective.on("cls_local"):
        for images, _, share in _portions(views.local, None, batch, views_of_each):
            yield _local, Portion(Request(images, read="cls"), share=share)


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


def _full_portion(this: ThisStep, images: Images) -> Portion:
    model, config = this.model, this.model.objective
    drawing = drawing_of(model, images, this.autocast) if config.on("reconstruction") else None
    return Portion(Request(images), drawing, learns=config.uses_full)


def _full_alone(this: ThisStep, images: Images, taught: Targets | None) -> FullView:
    """`_full`, encoded by itself."""
    portion = _full_portion(this, images)
    return _full(this, portion, this.encode(portion), taught)


def _full(this: ThisStep, portion: Portion, encoded: Tokens, taught: Targets | None) -> FullView:
    """The full view: reconstruction, both clustering terms, KoLeo, and the targets unless a
    teacher gave them.
    """
    model, config = this.model, this.model.objective
    on = partial(term, config)
    with this.autocast(), torch.set_grad_enabled(portion.learns):
        factors = model.factorized(encoded, model.encoder.grid(portion.request.images))
    (sparse, read), token, cls = _tokens(this, factors), None, None
    if config.uses_tokens:
        token = _predict_full(this, model.sparse_head, read, taught.token if taught else None)
    if config.uses_cls:
        cls = _predict_full(this, model.cls_head, factors.cls, taught.cls if taught else None)
    losses = Losses(
        reconstruction=on(
            "reconstruction",
            portion.drawing,
            lambda drawing: reconstruction(drawing, factors, this.generator),
        ),
        token_clustering=on(
            "token_clustering",
            token,
            lambda said: said.loss(_matched_rows(model, sparse, taught.sparse) if taught else None),
        ),
        cls_clustering=on("cls_clustering", cls, lambda said: said.loss()),
        koleo=on("koleo", sparse, koleo),
    )
    targets = Targets(
        sparse=taught.sparse if taught else sparse.detach(),
        token=token.head.target if token else None,
        cls=cls.head.target if cls else None,
    )
    heads = (prediction.head if prediction else None for prediction in (token, cls))
    return FullView(losses, _detached(factors), targets, *heads)


def _predict_full(
    this: ThisStep,
    network: PrototypeHead,
    tokens: Float[Tensor, "*rows D"],
    taught: Assignment | None,
) -> Prediction:
    """A head's prediction for the full view, whose target is its own unless a teacher gave one."""
    with this.autocast(), torch.set_grad_enabled(this.model.objective.uses_full):
        features = network(tokens)
    target = taught if taught else this.balanced_target(network, features)
    return Prediction(HeadInStep(this, network, target), features)


def _masked(this: ThisStep, portion: Portion, encoded: Tokens, full: FullView) -> Losses:
    """The masked views: set alignment, cls alignment, KoLeo, and what they hide drawn again."""
    model, request = this.model, portion.request
    on = partial(term, model.objective)
    (sparse, read), grid = _tokens(this, encoded), model.encoder.grid(request.images)
    tokens = full.token.predict(read) if full.token else None
    cls = full.cls.predict(encoded.cls) if full.cls else None
    return Losses(
        set_alignment=on(
            "set_alignment",
            tokens,
            lambda said: said.loss(_matched_rows(model, sparse, full.targets.sparse)),
        ),
        cls_masked=on("cls_masked", cls, lambda said: said.loss(said.own_image())),
        koleo=on("koleo", sparse, koleo),
        masked_reconstruction=on(
            "masked_reconstruction",
            portion.drawing,
            lambda drawing: masked_reconstruction(drawing, request.keep, encoded.dense, grid),
        ),
    )


def _local(this: ThisStep, _portion: Portion, encoded: Tokens, full: FullView) -> Losses:
    """The local crops: cls alignment."""
    cls = full.cls.predict(encoded.cls) if full.cls else None
    on = partial(term, this.model.objective)
    return Losses(cls_local=on("cls_local", cls, lambda said: said.loss(said.own_image())))


@torch.no_grad()
def _taught(this: ThisStep, views: Views) -> Targets | None:
    """The targets that the teacher gives, from its own view; None without a teacher."""
    teacher, config = this.model.teacher, this.model.objective
    if teacher is None:
        return None
    images = views.full if views.teacher is None else views.teacher
    with this.autocast():
        every_patch = config.reads_masked_patches(this.model.config)
        encoded = teacher.encoder(images, read="all" if every_patch else "tokens")
        sparse, read = _tokens(this, encoded)
        tokens = teacher.sparse_head(read) if config.uses_tokens else None
        cls = teacher.cls_head(encoded.cls) if config.uses_cls else None
    return Targets(
        sparse=sparse.detach(),
        token=None if tokens is None else this.balanced_target(teacher.sparse_head, tokens),
        cls=None if cls is None else this.balanced_target(teacher.cls_head, cls),
    )


def _tokens(
    this: ThisStep, encoded: Tokens | Factors
) -> tuple[Float[Tensor, "B K D"], Float[Tensor, "B K D"]]:
    """The tokens of each image, and what their head reads of them.

    Both are S, or every patch where there is a dense bottleneck instead; where the objective says
    so, the head reads the mean of U over each token's patches on top. What was not factorized yet,
    and is a teacher's too, is so by the student's projections.
    """
    model, dense, sparse = this.model, encoded.dense, encoded.sparse
    pools = model.objective.uses_pooled_dense
    if model.config.bottleneck:
        return dense, dense
    if not pools and not model.config.slot_rounds:
        return sparse, sparse
    if isinstance(encoded, Factors):
        spatial = encoded.spatial
    else:
        with this.autocast():
            sparse, spatial = model.factorization(dense, sparse)
    return sparse, sparse + pooled(dense, spatial) if pools else sparse


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


def _detached(factors: Factors) -> Factors:
    return Factors(
        factors.cls.detach(),
        factors.sparse.detach(),
        factors.spatial.detach(),
        factors.dense.detach(),
        factors.grid,
    )
