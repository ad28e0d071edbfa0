"""The decoder: from Z = L S back to the image, by a small transformer over the patch grid.

Z is projected to the decoder's width, a fixed random Fourier position is added, and after the
blocks a head gives either the pixels of each patch or the logits of the tokenizer's code at each
patch.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from stellar.config import ModelConfig
from stellar.model.transformer import BlockSize, init_weights, normal, run_blocks, stack

NORM_EPS = 1e-12
"""Epsilon of the decoder's LayerNorms, as in the published models."""


def fourier_position(
    matrix: Float[Tensor, "2 half"], grid: tuple[int, int]
) -> Float[Tensor, "P width"]:
    """Random Fourier features of the patch centres (x, y) in [0, 1], sin and cos interleaved.

    a = 2 pi (2 (x, y) - 1) G; the result is (sin a1, cos a1, sin a2, ...), patches row by row.
    """
    height, width = grid
    y = (torch.arange(height, device=matrix.device, dtype=torch.float32) + 0.5) / height
    x = (torch.arange(width, device=matrix.device, dtype=torch.float32) + 0.5) / width
    y, x = torch.meshgrid(y, x, indexing="ij")
    centres = torch.stack([x.flatten(), y.flatten()], dim=1)
    angle = 2 * math.pi * ((2 * centres - 1) @ matrix.float())
    return torch.stack([angle.sin(), angle.cos()], dim=2).flatten(1)


class Decoder(nn.Module):
    """Z to pixels (B C H W), or to code logits (B P codes)."""

    gaussian: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        decoder = config.decoder
        width = decoder.embed_dim
        self.proj = nn.Linear(config.embed_dim, width)
        self.register_buffer("gaussian", normal(2, width // 2))
        size = BlockSize(width, decoder.num_heads, decoder.hidden_dim, NORM_EPS)
        self.blocks = stack(decoder.depth, size)
        self.norm = nn.LayerNorm(width, eps=NORM_EPS)
        self.head: nn.Module
        if decoder.target == "pixels":
            channels, patch = config.in_chans, config.patch_size
            self.head = nn.ConvTranspose2d(width, channels, patch, patch)
        else:
            self.head = nn.Linear(width, decoder.num_codes)
        init_weights(self)

    def forward(self, lowrank: Float[Tensor, "B P D"], grid: tuple[int, int]) -> Tensor:
        position = fourier_position(self.gaussian, grid)
        # Under autocast the projection is in bf16, and the sum, where the blocks begin, in fp32.
        x = self.proj(lowrank) + position.to(self.gaussian.dtype)
        x = self.norm(run_blocks(self.blocks, x))
        if isinstance(self.head, nn.ConvTranspose2d):
            return self.head(x.transpose(1, 2).unflatten(2, grid))
        return self.head(x)
