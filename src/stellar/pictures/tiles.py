"""One image's pictures: its segments and its token maps, painted over a pale grey version of it.

A token's map is its colour with L as the opacity, nothing stretched: a faint map is a token that is
used faintly.
"""

import numpy as np
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

from stellar.pictures.colours import token_colours

_LUMA = (0.299, 0.587, 0.114)
_SEGMENT_FADE, _SEGMENT_OPACITY, _CONTOUR_OPACITY = 0.25, 0.62, 0.95
_MAP_FADE, _MAP_OPACITY = 0.75, 0.92
"""Fade: the share of white in the grey image below."""
_OVERSAMPLING = 2
"""Segments are painted this much larger and reduced, so that their borders are smooth."""


def photograph(image: UInt8[Tensor, "3 h w"], size: tuple[int, int]) -> Image.Image:
    """The image itself at (width, height)."""
    picture = Image.fromarray(image.permute(1, 2, 0).contiguous().numpy())
    return picture.resize(size, Image.Resampling.LANCZOS)


def segments(
    image: UInt8[Tensor, "3 h w"], maps: Float[Tensor, "k gh gw"], size: tuple[int, int]
) -> Image.Image:
    """argmax of L, bilinear at this size, in the tokens' colours, with thin contours."""
    large = (size[0] * _OVERSAMPLING, size[1] * _OVERSAMPLING)
    labels = _resize(maps, large).argmax(axis=0)
    colours = np.array(token_colours(len(maps)), dtype=np.float32)
    painted = _blend(_pale(image, large, fade=_SEGMENT_FADE), colours[labels], _SEGMENT_OPACITY)
    border = _borders(labels)[..., None] * _CONTOUR_OPACITY
    painted = _blend(painted, np.float32(255), border)
    return _picture(painted).resize(size, Image.Resampling.BOX)


def token_map(
    image: UInt8[Tensor, "3 h w"], maps: Float[Tensor, "k gh gw"], token: int, size: tuple[int, int]
) -> Image.Image:
    """L of one token in its colour."""
    opacity = _resize(maps[token : token + 1], size)[0, ..., None]
    colour = np.array(token_colours(len(maps))[token], dtype=np.float32)
    return _picture(_blend(_pale(image, size, fade=_MAP_FADE), colour, _MAP_OPACITY * opacity))


def _pale(image: UInt8[Tensor, "3 h w"], size: tuple[int, int], fade: float) -> np.ndarray:
    """The image in grey, mixed with white."""
    grey = np.asarray(photograph(image, size), dtype=np.float32) @ np.array(_LUMA, np.float32)
    return _blend(grey[..., None], np.float32(255), fade)


def _resize(maps: Float[Tensor, "k gh gw"], size: tuple[int, int]) -> np.ndarray:
    width, height = size
    smooth = F.interpolate(maps[None], (height, width), mode="bilinear", align_corners=False)
    return smooth[0].numpy()


def _borders(labels: np.ndarray) -> np.ndarray:
    """True on both sides of every change of label."""
    border = np.zeros(labels.shape, dtype=bool)
    across, down = labels[:, 1:] != labels[:, :-1], labels[1:] != labels[:-1]
    border[:, 1:] |= across
    border[:, :-1] |= across
    border[1:] |= down
    border[:-1] |= down
    return border


def _blend(
    under: np.ndarray, over: np.ndarray | np.float32, opacity: np.ndarray | float
) -> np.ndarray:
    return under + (over - under) * opacity


def _picture(values: np.ndarray) -> Image.Image:
    values = np.broadcast_to(values, (*values.shape[:2], 3))
    return Image.fromarray(np.clip(np.round(values), 0, 255).astype(np.uint8))
