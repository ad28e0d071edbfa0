"""How well the decoder draws: the image from Z = L S, and what a masked view hides from the patches
that it keeps.
"""

import math
from dataclasses import replace

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from stellar.images import unit_range
from stellar.model import Factors
from stellar.model.encoder import Images
from stellar.model.factorization import perturbed
from stellar.objective.losses import Scalar
from stellar.objective.pretraining import PretrainingModel
from stellar.precision import Autocast


def what_to_draw(model: PretrainingModel, images: Images, autocast: Autocast) -> Tensor:
    """What the decoder is to draw: pixels in [0, 1], or the code of each patch. Made before the
    networks run, since the tokenizer takes memory for a moment.
    """
    images = unit_range(images)
    if model.config.decoder.target == "pixels":
        return images
    with autocast():
        return model.codes(images)


def reconstruction(
    model: PretrainingModel,
    drawing: Tensor | None,
    factors: Factors,
    autocast: Autocast,
    generator: torch.Generator | None,
) -> Scalar:
    """Mean error of the image drawn from Z, whose L is noisy where the objective says so."""
    noise = model.objective.spatial_noise
    if noise:
        factors = replace(factors, spatial=perturbed(factors.spatial, noise, generator))
    return _patch_errors(model, drawing, factors.lowrank, factors.grid, autocast).mean()


def masked_reconstruction(
    model: PretrainingModel,
    drawing: Tensor | None,
    keep: Int[Tensor, "BV n"] | None,
    dense: Float[Tensor, "BV n D"],
    grid: tuple[int, int],
    autocast: Autocast,
) -> Scalar:
    """Mean error of the patches that a view hides, drawn from U of those that it keeps, with the
    mask token in the others' places.
    """
    assert keep is not None
    assert model.mask_token is not None
    place = keep[:, :, None].expand_as(dense)
    everywhere = model.mask_token.to(dense.dtype).expand(len(dense), math.prod(grid), -1)
    everywhere = everywhere.scatter(1, place, dense)
    errors = _patch_errors(model, drawing, everywhere, grid, autocast)
    hidden = torch.ones_like(errors).scatter(1, keep, 0)
    return (errors * hidden).sum() / hidden.sum()


def _patch_errors(
    model: PretrainingModel,
    drawing: Tensor | None,
    tokens: Float[Tensor, "B P D"],
    grid: tuple[int, int],
    autocast: Autocast,
) -> Float[Tensor, "B P"]:
    """Mean squared error of each patch in [0, 1], or cross-entropy to its code, as the decoder
    draws it from these patch features.
    """
    assert drawing is not None
    with autocast():
        prediction = model.decoder(tokens, grid)
    if model.config.decoder.target == "pixels":
        error = F.mse_loss(prediction.float(), drawing, reduction="none").mean(dim=1)
        return F.avg_pool2d(error, model.config.patch_size).flatten(1)
    error = F.cross_entropy(prediction.float().flatten(0, 1), drawing.flatten(), reduction="none")
    return error.unflatten(0, drawing.shape)
