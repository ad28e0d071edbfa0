"""Pictures of any size to sizes that the patch divides, in the way that `Fit` names.

PyTorch resizes one uint8 image of channels-last memory about three times faster than Pillow, so
uint8 stays uint8 all the way.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float32, UInt8
from torch import Tensor

from stellar.config import Fit, ModelConfig, nearest
from stellar.config.checks import warn
from stellar.images.picture import InputError, Pixels, unit_range

Sized = UInt8[Tensor, "C H W"] | Float32[Tensor, "C H W"]
"""Pixels at another size."""
ONE_SIZE: tuple[Fit, ...] = ("crop", "squash")
"""The fits that give every picture the model's image_size."""
MANY = 16
"""Times the patches of the model's own size, above which the fits that keep sizes are warned of."""

_WORDS: dict[Fit, str] = {
    "crop": "largest centred square, bicubic, antialiased",
    "squash": "the whole picture, its aspect ratio not kept, bicubic, antialiased",
    "resize": "each side to the nearest multiple of the patch, bicubic, antialiased",
    "pad": "its last row and column repeated below and at the right up to a multiple of the patch",
    "exact": "size kept",
}
_READ = {
    1: "grey, transparency on white; as many bits as the file has",
    3: "RGB in sRGB, transparency on white; 8 bits, or as many as a grey file has",
}


def nearest_multiple(length: int, patch: int) -> int:
    """The length, in pixels, that is nearest and holds whole patches; at least one."""
    return max(1, round(length / patch)) * patch


def resize(pixels: Pixels, height: int, width: int, antialias: bool = True) -> Sized:
    """The picture at another size, by bicubic interpolation; memory is channels-last."""
    if pixels.shape[1:] == (height, width):
        return pixels
    if len(pixels) > 4:  # the fast uint8 kernel takes up to four channels
        return torch.cat([resize(part, height, width, antialias) for part in pixels.split(4)])
    # One image whose channels lie side by side: the only layout that has the fast uint8 kernel.
    single = pixels.permute(1, 2, 0).contiguous().permute(2, 0, 1).unsqueeze(0)
    out = F.interpolate(single, (height, width), mode="bicubic", antialias=antialias).squeeze(0)
    return out if out.dtype == torch.uint8 else out.clamp(0, 1)  # cubics overshoot


def check_fit(fit: Fit) -> None:
    """Raises InputError for an unknown one."""
    if not isinstance(fit, str) or fit not in _WORDS:
        raise InputError(
            f"fit must be one of {', '.join(_WORDS)}, got {fit!r}{nearest(fit, _WORDS)}"
        )


def check_one_size(fit: Fit) -> None:
    """Raises InputError for one that leaves pictures of several sizes, and for an unknown one."""
    check_fit(fit)
    if fit not in ONE_SIZE:
        raise InputError(
            f"pictures must end at one size, so fit must be {' or '.join(ONE_SIZE)}, got {fit}; "
            "encode pictures of their own sizes one by one: model.encode(path, fit=...)"
        )


def frame(size: tuple[int, int], fit: Fit) -> tuple[int, int, int, int]:
    """What a model sees of a picture of this width and height: left, top, width and height in its
    pixels; all of it, or the largest centred square.
    """
    width, height = size
    if fit != "crop":
        return 0, 0, width, height
    side = min(size)
    return (width - side) // 2, (height - side) // 2, side, side


def framed(pixels: Pixels, fit: Fit) -> Sized:
    """What a model sees of a picture, in the picture's own pixels."""
    left, top, width, height = frame((pixels.shape[2], pixels.shape[1]), fit)
    return pixels[:, top : top + height, left : left + width]


def fitted(pixels: Pixels, fit: Fit, config: ModelConfig) -> Sized:
    """The picture at a size that the patch divides. Raises InputError for one that must be exact
    and is not, and for an unknown fit.
    """
    check_fit(fit)
    height, width = pixels.shape[1:]
    patch, own = config.patch_size, config.image_size
    if fit == "crop":
        return resize(framed(pixels, fit), own, own)
    if fit == "squash":
        return resize(pixels, own, own)
    if height * width > MANY * own**2:
        warn(
            f"fit {fit} gives pictures of more than {MANY} times the patches that the model was "
            "made for, and attention takes the square of that in time; crop and squash do not"
        )
    if fit == "resize":
        return resize(pixels, nearest_multiple(height, patch), nearest_multiple(width, patch))
    if fit == "pad":
        rows, columns = (
            torch.arange(-(-side // patch) * patch).clamp(max=side - 1) for side in (height, width)
        )
        return pixels[:, rows][:, :, columns]
    if height % patch or width % patch:
        raise InputError(
            f"height and width must be multiples of the patch size {patch}, "
            f"got {height} x {width}; choose another fit: crop, squash, resize or pad"
        )
    return pixels


def one_batch(
    pictures: Sequence[Pixels],
) -> UInt8[Tensor, "B C H W"] | Float32[Tensor, "B C H W"]:
    """Pictures of one size as a batch: uint8 if all of them are, else float32.

    Raises InputError for pictures of different sizes.
    """
    shapes = {tuple(picture.shape) for picture in pictures}
    if len(shapes) > 1:
        sizes = ", ".join(f"{height} x {width}" for _, height, width in sorted(shapes)[:4])
        raise InputError(
            f"the pictures of a batch must end at one height x width, got {sizes}; "
            "choose fit crop or squash, or give them one at a time"
        )
    if len({picture.dtype for picture in pictures}) == 1:
        return torch.stack(list(pictures))
    return torch.stack([unit_range(picture) for picture in pictures])


def preprocessing(fit: Fit, config: ModelConfig) -> str:
    """What is done to the picture files of a folder before they are encoded, in words."""
    read = _READ.get(config.in_chans, f"{config.in_chans} channels, as stored")
    size = f", to {config.image_size} x {config.image_size}" if fit in ONE_SIZE else ""
    return f"{read}; turned as the metadata says; {_WORDS[fit]}{size}"


def described(before: set[tuple[int, int]], after: tuple[int, int], fit: Fit) -> str:
    """From which sizes (height, width) to which, and how."""
    sizes = [f"{width} x {height}" for height, width in sorted(before)]
    came = sizes[0] if len(sizes) == 1 else f"{len(sizes)} sizes ({sizes[0]} up to {sizes[-1]})"
    if before == {after}:
        return f"{came} kept"
    return f"{came} to {after[1]} x {after[0]}: {_WORDS[fit]}"
