"""Weights for pictures or patches of another size, so that a run can begin where one on smaller
pictures ended.

For patches of q pixels a side in place of p, where p divides q:

- the patch embedding says of a patch what it said of that patch averaged to its old size;
- the decoder draws every pixel q / p times as large, so that its patch, averaged to its old size,
  is what it was.

Other sizes are averaged in the same way, over pixels that lie across. Positions are resized as the
encoder resizes them for pictures of another size (positions.py).
"""

from collections import ChainMap
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from stellar.config import ModelConfig
from stellar.model.positions import resize_positions

EMBEDDING = "encoder.patch_embed.proj.weight"
POSITIONS = "encoder.pos_embed"
PIXELS = "decoder.head.weight"


def resize_weights(
    state: Mapping[str, Tensor], old: ModelConfig, new: ModelConfig
) -> Mapping[str, Tensor]:
    """The weights of a model of `old`, for pictures and patches of the sizes of `new`: all others
    as they are, and what the file lacks still missing.
    """
    changed: dict[str, Tensor] = {}
    size, side = new.patch_size, new.image_size // new.patch_size
    if size != old.patch_size:
        if EMBEDDING in state:
            changed[EMBEDDING] = resize_embedding(state[EMBEDDING], size)
        if PIXELS in state and old.decoder.target == "pixels":
            changed[PIXELS] = resize_pixels(state[PIXELS], size)
    if POSITIONS in state and side != old.image_size // old.patch_size:
        cls, table = state[POSITIONS][:, :1], state[POSITIONS][:, 1:]
        table = resize_positions(table, (side, side), antialias=new.num_registers > 0)
        changed[POSITIONS] = torch.cat([cls, table], dim=1)
    return ChainMap(changed, dict(state)) if changed else state


def resize_embedding(weight: Float[Tensor, "D C p p"], size: int) -> Float[Tensor, "D C q q"]:
    """For patches of q = `size` pixels a side: R^T w R, with R the averages that make p of q."""
    pixels = torch.eye(size, device=weight.device)
    averages = F.interpolate(pixels[None], size=weight.shape[2], mode="area")[0]
    return (averages @ weight.float() @ averages.T).to(weight.dtype)


def resize_pixels(weight: Float[Tensor, "D C p p"], size: int) -> Float[Tensor, "D C q q"]:
    """For patches of q = `size` pixels a side."""
    return F.interpolate(weight.float(), (size, size), mode="area").to(weight.dtype)
