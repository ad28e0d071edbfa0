"""How well Z can be drawn again: PSNR = -10 log10 mean (x - x')^2, in dB, for pixels in [0, 1]."""

from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from stellar.data.inference import picture_batches
from stellar.evaluation.scores import Score
from stellar.evaluation.subject import Subject
from stellar.images import unit_range
from stellar.model import Factors, Stellar

MAX_DRAWN = 256
"""Test pictures that are drawn again, the first ones."""


def reconstruction(subject: Subject) -> Iterator[Score]:
    """PSNR, of a model that draws."""
    model, images = subject.model, subject.data.test
    if not isinstance(model, Stellar) or not model.can_draw:
        return
    decibels = []
    indices = range(min(MAX_DRAWN, len(images)))
    for batch in picture_batches(images, indices, "crop", model.config, batch_size=32):
        if batch.indices:
            decibels.append(draw_again(model, batch.images)[2])
    if decibels:
        yield Score("reconstruction", "PSNR", torch.cat(decibels).mean().item(), "dB")


def draw_again(
    model: Stellar, images: Tensor
) -> tuple[Factors, Float[Tensor, "b c h w"], Float[Tensor, " b"]]:
    """Pictures (b c h w) as they were read: their factors, what is drawn from them, and its PSNR;
    the last two on the CPU.
    """
    with torch.inference_mode():
        factors = model.encode(images.to(model.device))
        drawn = model.reconstruct(factors).cpu()
    return factors, drawn, psnr(unit_range(images), drawn)


def psnr(
    images: Float[Tensor, "b c h w"], reconstructions: Float[Tensor, "b c h w"]
) -> Float[Tensor, " b"]:
    """PSNR of each image in dB; infinite where nothing differs."""
    error = (images.double() - reconstructions.double()).square().mean(dim=(1, 2, 3))
    return (-10 * torch.log10(error)).to(images.dtype)
