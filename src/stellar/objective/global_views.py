"""The whole views of a step: the full one, and the second one, which a teacher encodes or which is
aligned with the full one.

By itself, the full view predicts its own assignments: the terms of clustering. With a teacher it
predicts the teacher's. With global alignment the two views predict each other's,

    (mean_i H(q2[n_i], z1_i) + mean_j H(q1[m_j], z2_j)) / 2

where H(q, z) = -sum q log softmax(z), and the matching gives to token i of the full view the token
n_i of the second one, and m_j the other way round. The published code takes m_i for n_i: it reads
q2, whose rows are tokens of the second view, by the tokens of the full one.
"""

from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Float, Int
from torch import Tensor

from stellar.model import Factors
from stellar.model.encoder import Images, Request, Tokens
from stellar.objective.koleo import koleo
from stellar.objective.losses import Losses, term
from stellar.objective.pretraining_model import PretrainingModel, Teacher
from stellar.objective.reconstruction_terms import drawing_of, reconstruction
from stellar.objective.reference import Aim, Answers, Reference
from stellar.objective.this_step import Portion, ThisStep


@dataclass(frozen=True)
class FullView:
    """The full view's own terms, and what the other groups of views need of it."""

    losses: Losses
    factors: Factors
    reference: Reference
    """What the others are compared with: the full view, or the teacher's."""


@dataclass(frozen=True)
class SecondView:
    """The view that is aligned with the full one, before it is compared with it."""

    answers: Answers
    reference: Reference


def full_portion(this: ThisStep, images: Images) -> Portion:
    """The full view, as it is encoded and drawn."""
    model, config = this.model, this.model.objective
    drawing = drawing_of(model, images, this.autocast) if config.on("reconstruction") else None
    return Portion(Request(images), drawing, learns=config.uses_full)


def second_portion(this: ThisStep, images: Images) -> Portion:
    """The second view, as it is encoded."""
    every_patch = this.model.objective.reads_masked_patches(this.model.config)
    return Portion(Request(images, read="all" if every_patch else "tokens"))


def full_view(
    this: ThisStep,
    portion: Portion,
    encoded: Tokens,
    taught: Reference | None,
    second: SecondView | None,
) -> FullView:
    """The full view: reconstruction, both clustering terms, KoLeo; and itself as what others are
    compared with, unless a teacher gave that.
    """
    model, on = this.model, partial(term, this.model.objective)
    with this.autocast(), torch.set_grad_enabled(portion.learns):
        factors = model.factorized(encoded, model.encoder.grid(portion.request.images))
        given = _answers(this, model, factors)
    reference = taught or Reference.of(this, model, given)
    losses = Losses(
        reconstruction=on(
            "reconstruction",
            portion.drawing,
            lambda drawing: reconstruction(drawing, factors, this.generator),
        ),
        koleo=on("koleo", given.sparse, koleo),
    )
    if second is not None:
        rows = _rows_of_second(this, given, second)
        losses += _clustering(this, given, second.reference, rows) * 0.5
    else:
        rows = _matched(this, given, taught) if taught else None
        losses += _clustering(this, given, reference, rows)
    return FullView(losses, _detached(factors), reference)


def second_view(this: ThisStep, encoded: Tokens) -> SecondView:
    """The second view, encoded with the gradient of a student."""
    given = _answers(this, this.model, encoded)
    return SecondView(given, Reference.of(this, this.model, given))


def aligned(this: ThisStep, second: SecondView, full: FullView) -> Losses:
    """The second view's half of the clustering terms."""
    rows = _matched(this, second.answers, full.reference)
    return _clustering(this, second.answers, full.reference, rows) * 0.5


def taught_reference(this: ThisStep, images: Images) -> Reference | None:
    """What the teacher gives to be compared with, from its own view; None without a teacher."""
    teacher = this.model.teacher
    if teacher is None:
        return None
    request = second_portion(this, images).request
    with torch.no_grad():
        with this.autocast():
            encoded = teacher.encoder(request.images, request.keep, request.read)
        given = _answers(this, teacher, encoded)
    return Reference.of(this, teacher, given)


def _answers(
    this: ThisStep, heads: PretrainingModel | Teacher, encoded: Tokens | Factors
) -> Answers:
    """What the heads of a model, or of its teacher, make of a whole view."""
    config = this.model.objective
    sparse, read = this.tokens(encoded)
    with this.autocast():
        token = heads.sparse_head(read) if config.uses_tokens else None
        cls = heads.cls_head(encoded.cls) if config.uses_cls else None
    return Answers(sparse, token, cls)


def _clustering(
    this: ThisStep, given: Answers, reference: Reference, rows: Int[Tensor, "N"] | None = None
) -> Losses:
    """Both clustering terms of a whole view, against a reference; `rows` are the reference's
    tokens that its own are compared with, None: those of the same number.
    """
    on = partial(term, this.model.objective)
    return Losses(
        token_clustering=on(
            "token_clustering",
            _side_by_side(reference.token, given.token),
            lambda both: both[0].loss(both[1], rows),
        ),
        cls_clustering=on(
            "cls_clustering",
            _side_by_side(reference.cls, given.cls),
            lambda both: both[0].loss(both[1]),
        ),
    )


def _side_by_side(
    aim: Aim | None, features: Float[Tensor, "N d"] | None
) -> tuple[Aim, Float[Tensor, "N d"]] | None:
    return None if aim is None or features is None else (aim, features)


def _matched(this: ThisStep, given: Answers, reference: Reference) -> Int[Tensor, "N"] | None:
    """The row of a reference that each token is matched to, where a term asks."""
    if not this.model.objective.on("token_clustering"):
        return None
    return this.matched_rows(given.sparse, reference.targets.sparse)


def _rows_of_second(this: ThisStep, full: Answers, second: SecondView) -> Int[Tensor, "N"] | None:
    """The token of the second view that each one of the full view is compared with."""
    config = this.model.objective
    if config.global_alignment == "published" and config.on("token_clustering"):
        # The mistake that is told of above.
        return this.matched_rows(second.answers.sparse, full.sparse.detach())
    return _matched(this, full, second.reference)


def _detached(factors: Factors) -> Factors:
    return Factors(
        factors.cls.detach(),
        factors.sparse.detach(),
        factors.spatial.detach(),
        factors.dense.detach(),
        factors.grid,
    )
