"""Where a patch is: a learned table whose rows are added to the patches, as in ViT, or rotary
positions, as in DINOv3.

Rotary positions turn pairs of channels of each head's queries and keys, before attention, by angles
that grow with the patch's place: `a = 2 pi (y or x) theta^(-j / J)`, where (y, x) is the patch's
centre, from -1 to 1 over the image, and j = 0 to J - 1 with J = a quarter of the head's width.
Tokens without a place are turned by 0.
"""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

Turns = Float[Tensor, "2 *#rows d"]
"""Cosine and sine of the angles of each token, for the d channels of a head: of each image, or of
all images together.
"""


def resize_positions(
    table: Float[Tensor, "1 P D"], grid: tuple[int, int], antialias: bool
) -> Float[Tensor, "1 Q D"]:
    """A square position table for another grid (height, width): bicubic, in fp32.

    DINOv2 with registers learned with an antialiased resize, all others without.
    """
    side = round(table.shape[1] ** 0.5)
    # An exported graph is for every grid, this one included: there the resize changes nothing.
    if not torch.compiler.is_exporting() and grid == (side, side):
        return table
    square = table.float().transpose(1, 2).unflatten(2, (side, side))
    resized = F.interpolate(square, grid, mode="bicubic", align_corners=False, antialias=antialias)
    return resized.flatten(2).transpose(1, 2).to(table.dtype)


def resize_table(
    table: Float[Tensor, "1 M D"], side: int, antialias: bool
) -> Float[Tensor, "1 N D"]:
    """A whole table, whose first row is that of cls, for a square grid of `side` patches."""
    cls, positions = table[:, :1], table[:, 1:]
    return torch.cat([cls, resize_positions(positions, (side, side), antialias)], dim=1)


def rotary_angles(
    grid: tuple[int, int], head_dim: int, theta: float, device: torch.device
) -> Float[Tensor, "P d"]:
    """The angles of each patch of a grid (height, width), in radians; a channel and the one half a
    head further share theirs.
    """
    height, width = grid
    y = 2 * (torch.arange(height, device=device) + 0.5) / height - 1
    x = 2 * (torch.arange(width, device=device) + 0.5) / width - 1
    centres = torch.stack(torch.meshgrid(y, x, indexing="ij"), dim=2).flatten(0, 1)
    steps = torch.arange(head_dim // 4, device=device) / (head_dim // 4)
    angles = 2 * math.pi * centres.unsqueeze(2) * theta**-steps
    return angles.flatten(1).tile(2)


def turn(x: Float[Tensor, "*rows H d"], turns: Turns) -> Float[Tensor, "*rows H d"]:
    """Queries or keys, each pair of channels turned by its angle, in the precision of the
    angles.
    """
    cos, sin = turns.unsqueeze(-2)
    first, second = x.chunk(2, dim=-1)
    return (x * cos + torch.cat([-second, first], dim=-1) * sin).to(x.dtype)
