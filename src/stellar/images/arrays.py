"""Arrays and tensors of numbers to pictures.

The rule for values: uint8 is 0 to 255; uint16 and int32 hold 16 bits, 0 to 65535, and are scaled to
[0, 1]; floats lie in [0, 1] already. The rule for channels: as many as the model has, except that
one channel, grey, is repeated for a model of three.
"""

import numpy as np
import torch
from jaxtyping import Shaped
from torch import Tensor

from stellar.images.picture import InputError, Picture

_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
_SIXTEEN_BITS = (torch.uint16, torch.int32)
_MOST_CHANNELS = 16
"""A first axis that is longer is no axis of channels when another could be."""
_EXPECTED = (
    "expected uint8, uint16 (or int32 that holds 16 bits), or floating point numbers in [0, 1]"
)


def from_array(array: np.ndarray, channels: int) -> Picture:
    """A picture from an array (h w) or (h w c). Raises InputError for any other, and as
    `from_tensor` does.
    """
    if array.ndim not in (2, 3):
        raise InputError(
            f"expected an array of height x width, or height x width x channels, got {array.shape}"
        )
    try:
        native = array.astype(array.dtype.newbyteorder("="), copy=False)
        tensor = torch.from_numpy(np.require(native, requirements=["C", "W"]))
    except TypeError:
        raise InputError(f"{_EXPECTED}, got {array.dtype}") from None
    tensor = tensor.permute(2, 0, 1) if array.ndim == 3 else tensor[None]
    return from_tensor(tensor, channels)


def from_tensor(tensor: Shaped[Tensor, "..."], channels: int) -> Picture:
    """A picture from a tensor (C h w). Raises InputError for other numbers of axes or channels,
    empty ones, other types, NaN, and values outside their range.
    """
    if tensor.ndim != 3 or not tensor.numel():
        raise InputError(
            f"expected a picture of channels x height x width, got {tuple(tensor.shape)}"
        )
    changes = []
    if tensor.dtype in _SIXTEEN_BITS:
        tensor = in_range(tensor.float(), 65535) / 65535
        changes.append("16 bits scaled to [0, 1]")
    elif tensor.dtype in _FLOATS:
        tensor = in_range(tensor.float())
    elif tensor.dtype != torch.uint8:
        raise InputError(f"{_EXPECTED}, got {_name(tensor.dtype)}")
    if len(tensor) == 1 and channels == 3:
        tensor = tensor.expand(3, -1, -1)
        changes.append("grey repeated in 3 channels")
    if len(tensor) > _MOST_CHANNELS and channels in tensor.shape:
        raise InputError(
            f"expected {_counted(channels)} first in a tensor (c h w), last in an array (h w c), "
            f"got channels x height x width = {tuple(tensor.shape)}; move that axis"
        )
    if len(tensor) != channels:
        raise InputError(
            f"the model takes {_counted(channels)}, but the picture has {len(tensor)} "
            f"(height x width: {tensor.shape[1]} x {tensor.shape[2]}); "
            "give it pictures of its own kind, or take a model with another model.in_chans"
        )
    return Picture(tensor, tuple(changes))


def in_range(values: Tensor, largest: int = 1) -> Tensor:
    """The same values. Raises InputError for NaN, and for such as are not in [0, largest]."""
    low, high = (value.item() for value in values.detach().aminmax())
    if not (low >= 0 and high <= largest):  # NaN is neither
        kind = "16 bits" if largest > 1 else "floating point numbers"
        raise InputError(
            f"values must lie in [0, {largest}] for {kind}, got {low:g} to {high:g}; "
            "scale or clamp them, and do not normalise: the model does that itself"
        )
    return values


def _counted(channels: int) -> str:
    names = {1: "1 channel (grey)", 3: "3 channels (RGB)"}
    return names.get(channels, f"{channels} channels")


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
