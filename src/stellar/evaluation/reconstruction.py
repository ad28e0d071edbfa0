"""How well Z can be drawn again: PSNR = -10 log10 mean (x - x')^2, in dB, for pixels in [0, 1]."""

import torch
from jaxtyping import Float
from torch import Tensor


def psnr(
    images: Float[Tensor, "b c h w"], reconstructions: Float[Tensor, "b c h w"]
) -> Float[Tensor, " b"]:
    """PSNR of each image in dB; infinite where nothing differs."""
    error = (images.double() - reconstructions.double()).square().mean(dim=(1, 2, 3))
    return (-10 * torch.log10(error)).to(images.dtype)
