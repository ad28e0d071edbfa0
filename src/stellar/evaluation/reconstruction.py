"""How well Z can be drawn again: PSNR = -10 log10 mean (x - x')^2, in dB, for pixels in [0, 1]."""

import torch
from jaxtyping import Float
from torch import Tensor

from stellar.images import unit_range
from stellar.model import Factors, Stellar


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
