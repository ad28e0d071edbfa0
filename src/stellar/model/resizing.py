"""Weights for pictures or patches of another size, so that a run can begin where one on smaller
pictures ended.

For patches of q pixels a side in place of p, where p divides q:

- the patch embedding says of a patch what it said of that patch averaged to its old size;
- the decoder draws every pixel q / p times as large, so that its patch, averaged to its old size,
  is what it was.

Where p does not divide q, an average is over all pixels that reach into the place of one. Positions
are resized as the encoder resizes them for pictures of another size (positions.py).
"""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from stellar.config import ModelConfig
from stellar.model.positions import resize_table

EMBEDDING = "encoder.patch_embed.proj.weight"
POSITIONS = "encoder.pos_embed"
PIXELS = "decoder.head.weight"


def resize_weights(
    state: Mapping[str, Tensor], old: ModelConfig, new: ModelConfig
) -> Mapping[str, Tensor]:
    """The weights of a model of `old`, for pictures and patches of the sizes of `new`: all others
    as they are. What the file lacks, or has in other shapes than `old` says, is left to whoever
    loads it.
    """
    changed: dict[str, Tensor] = {}
    (grid, patch), (new_grid, new_patch) = map(_sizes, (old, new))
    if new_patch != patch:
        if _ends(state, EMBEDDING, (patch, patch)):
            changed[EMBEDDING] = resize_embedding(state[EMBEDDING], new_patch)
        if _ends(state, PIXELS, (patch, patch)):
            changed[PIXELS] = resize_pixels(state[PIXELS], new_patch)
    if new_grid != grid and _ends(state, POSITIONS, (1 + grid**2, old.embed_dim)):
        antialias = new.num_registers > 0
        changed[POSITIONS] = resize_table(state[POSITIONS], new_grid, antialias)
    return {**state, **changed} if changed else state


def _sizes(config: ModelConfig) -> tuple[int, int]:
    """Patches a side of the grid, and pixels a side of a patch."""
    return config.image_size // config.patch_size, config.patch_size


def _ends(state: Mapping[str, Tensor], name: str, shape: tuple[int, int]) -> bool:
    """Whether there is such a tensor, with these last two sizes."""
    return name in state and tuple(state[name].shape[-2:]) == shape


def resize_embedding(weight: Float[Tensor, "D C p p"], size: int) -> Float[Tensor, "D C q q"]:
    """For patches of q = `size` pixels a side: R^T w R, with R the averages that make p of q."""
    pixels = torch.eye(size, device=weight.device)
    averages = F.interpolate(pixels[None], size=weight.shape[2], mode="area")[0]
    return (averages @ weight.float() @ averages.T).to(weight.dtype)


def resize_pixels(weight: Float[Tensor, "D C p p"], size: int) -> Float[Tensor, "D C q q"]:
    """For patches of q = `size` pixels a side."""
    return F.interpolate(weight.float(), (size, size), mode="area").to(weight.dtype)
