"""The views that are compared with the full one: masked ones, and local crops."""

from collections.abc import Callable, Iterator
from functools import partial

import torch
from jaxtyping import Float, Int
from torch import Tensor

from stellar.model.encoder import Request, Tokens
from stellar.objective.koleo import koleo
from stellar.objective.losses import Losses, term
from stellar.objective.reconstruction_terms import drawing_of, masked_reconstruction
from stellar.objective.reference import Reference
from stellar.objective.this_step import Portion, ThisStep
from stellar.objective.views import Views

Terms = Callable[[ThisStep, Portion, Tokens, Reference], Losses]
"""What computes the terms of a portion that is encoded, given what it is compared with."""


def compared(
    this: ThisStep, views: Views, views_of_each: int | None
) -> Iterator[tuple[Terms, Portion]]:
    """The portions of these views, masked before local, as far as a term reads them; each with what
    computes its terms. At most `views_of_each` views of an image are in a portion; None: all.
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


def _masked(this: ThisStep, portion: Portion, encoded: Tokens, reference: Reference) -> Losses:
    """Set alignment, cls alignment, KoLeo, and what the views hide drawn again."""
    model, request = this.model, portion.request
    on = partial(term, model.objective)
    (sparse, read), grid = this.tokens(encoded), model.encoder.grid(request.images)
    return Losses(
        set_alignment=on(
            "set_alignment",
            reference.token,
            lambda aim: aim.loss(
                aim.features(read), this.matched_rows(sparse, reference.targets.sparse)
            ),
        ),
        cls_masked=_cls_alignment(this, "cls_masked", encoded, reference),
        koleo=on("koleo", sparse, koleo),
        masked_reconstruction=on(
            "masked_reconstruction",
            portion.drawing,
            lambda drawing: masked_reconstruction(drawing, request.keep, encoded.dense, grid),
        ),
    )


def _local(this: ThisStep, _portion: Portion, encoded: Tokens, reference: Reference) -> Losses:
    """cls alignment."""
    return Losses(cls_local=_cls_alignment(this, "cls_local", encoded, reference))


def _cls_alignment(
    this: ThisStep, name: str, encoded: Tokens, reference: Reference
) -> Float[Tensor, ""] | None:
    """cls of each view against the assignment of the image that it was cut from."""
    images, cls = len(reference.targets.sparse), encoded.cls
    rows = torch.arange(images, device=cls.device).repeat_interleave(len(cls) // images)
    return term(
        this.model.objective,
        name,
        reference.cls,
        lambda aim: aim.loss(aim.features(cls), rows),
    )
