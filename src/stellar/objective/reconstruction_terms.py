"""How well the decoder draws: the image from Z = L S, and what a masked view hides from the patches
that it keeps.
"""

import math
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from stellar.images import unit_range
from stellar.model import Factors
from stellar.model.encoder import Images
from stellar.objective.losses import Scalar
from stellar.objective.pretraining_model import PretrainingModel
from stellar.objective.spatial_noise import perturbed
from stellar.precision import Autocast


@dataclass(frozen=True)
class Drawing:
    """What a model's decoder is to draw of some images."""

    model: PretrainingModel
    wanted: Tensor
    """Pixels in [0, 1], or the code of each patch."""
    autocast: Autocast

    def errors(self, tokens: Float[Tensor, "B P D"], grid: tuple[int, int]) -> Float[Tensor, "B P"]:
        """Mean squared error of each patch in [0, 1], or cross-entropy to its code, as the decoder
        draws it from these patch features.
        """
        with self.autocast():
            prediction = self.model.decoder(tokens, grid).float()
        if self.model.config.decoder.target == "pixels":
            error = F.mse_loss(prediction, self.wanted, reduction="none").mean(dim=1)
            return F.avg_pool2d(error, self.model.config.patch_size).flatten(1)
        codes = self.wanted
        error = F.cross_entropy(prediction.flatten(0, 1), codes.flatten(), reduction="none")
        return error.unflatten(0, codes.shape)


def drawing_of(model: PretrainingModel, images: Images, autocast: Autocast) -> Drawing:
    """What the decoder is to draw of these images. Made before the networks run, since the
    tokenizer, which gives the codes, takes memory for a moment.
    """
    images = unit_range(images)
    if model.config.decoder.target == "pixels":
        return Drawing(model, images, autocast)
    with autocast():
        return Drawing(model, model.codes(images), autocast)


def reconstruction(drawing: Drawing, factors: Factors, generator: torch.Generator | None) -> Scalar:
    """Mean error of the image drawn from Z, whose L is noisy where the objective says so."""
    noise = drawing.model.objective.spatial_noise
    if noise:
        factors = replace(factors, spatial=perturbed(factors.spatial, noise, generator))
    return drawing.errors(factors.lowrank, factors.grid).mean()


def masked_reconstruction(
    drawing: Drawing,
    keep: Int[Tensor, "BV n"] | None,
    dense: Float[Tensor, "BV n D"],
    grid: tuple[int, int],
) -> Scalar:
    """Mean error of the patches that a view hides, drawn from U of those that it keeps, with the
    mask token in the others' places. Raises ValueError when the views keep all patches.
    """
    if keep is None:
        raise ValueError(
            "masked_reconstruction draws what masked views hide, and they hide nothing"
        )
    place = keep[:, :, None].expand_as(dense)
    mask_token = drawing.model.get_parameter("mask_token").to(dense.dtype)
    everywhere = mask_token.expand(len(dense), math.prod(grid), -1).scatter(1, place, dense)
    errors = drawing.errors(everywhere, grid)
    hidden = torch.ones_like(errors).scatter(1, keep, 0)
    return (errors * hidden).sum() / hidden.sum()
