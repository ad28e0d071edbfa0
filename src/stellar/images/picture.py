"""A picture in memory, and the sentences about what cannot be one."""

from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float32, UInt8
from torch import Tensor

from stellar.errors import UserError

Pixels = UInt8[Tensor, "C h w"] | Float32[Tensor, "C h w"]
"""uint8, or float32 in [0, 1] where a picture holds more than 8 bits."""


class InputError(UserError):
    """Something that is no picture, or none that the model takes; the message says why."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class UnreadableImage(InputError):
    """A file that gives no picture, and the reason."""

    def __init__(self, path: Path | str, reason: str) -> None:
        super().__init__(f"cannot read {path}: {reason}")
        self.path, self.reason = str(path), reason

    def __reduce__(self) -> tuple[type, tuple[str, str]]:
        return type(self), (self.path, self.reason)


@dataclass(frozen=True)
class Picture:
    """Pixels, and what was done to get them."""

    pixels: Pixels
    changes: tuple[str, ...] = ()
    """In words, such as "transparency laid on white"; empty when they are as they came."""
    full_size: tuple[int, int] | None = None
    """Width and height of all that the file has, where it may have been decoded in small."""


def unit_range(values: Tensor) -> Tensor:
    """Floating point values in [0, 1]: those of 8 bits scaled, others as they are."""
    return values / 255 if values.dtype == torch.uint8 else values


def eight_bits(pixels: Pixels) -> UInt8[Tensor, "C h w"]:
    """The nearest values of 8 bits."""
    if pixels.dtype == torch.uint8:
        return pixels
    return (pixels * 255).round().to(torch.uint8)
