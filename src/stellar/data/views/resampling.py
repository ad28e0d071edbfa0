"""Many crops of many pictures at once, on any device: resizing as two matrix products.

Resampling is linear and separable, so a view of size n x n is

    view = R X C^T,    R (n, h) and C (n, w) with R_ij = k((j + 1/2 - c_i) / s) / sum,

where c_i = top + (i + 1/2) s' is the place of its row i in the picture X, s' the rows of the box
for each row of the view, s = max(s', 1) and k the cubic of Keys (1981). Weights outside the box are
zero; a mirrored view has the rows of C in reverse, an upended one those of R. With a = -1/2,
antialiased, this is what `resize` does to uint8 images, but for its rounding; without antialiasing,
s = 1, a = -3/4 and the box's border is repeated.

On a CPU the products are in double precision, which no setting (autocast, TF32, matmul precision)
touches. On a GPU they are in half precision, summed in single, for its matrix units: 8-bit values
are exact in it and weights have 11 bits, so that a result is half a grey level off at most before
it is rounded to 8 bits. The CPU's uint8 path, which rounds between its two passes, is further off.
"""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor

from stellar.data.views.crops import CROP_NUMBERS, MIRRORED, TRANSPOSED, UPENDED

PICTURES_AT_ONCE = 16
"""Pictures of a GPU's batch that share a canvas: enough for few kernels, with little padding."""


def cut_all(
    pictures: Sequence[UInt8[Tensor, "_h _w C"]],
    crops: Int64[Tensor, "b views numbers"],
    size: int,
    antialias: bool = True,
) -> UInt8[Tensor, "b views C size size"]:
    """Every crop (see `Crop`; on the CPU) of every picture, on the pictures' device."""
    device, channels = pictures[0].device, pictures[0].shape[2]
    assert crops.shape[2] == CROP_NUMBERS
    views = torch.empty(*crops.shape[:2], channels, size, size, dtype=torch.uint8, device=device)
    on_cpu = device.type == "cpu"
    part = 1 if on_cpu else PICTURES_AT_ONCE
    for start in range(0, len(pictures) if views.numel() else 0, part):
        some = slice(start, start + part)
        dtype = torch.float64 if on_cpu else torch.float16
        exact = resampled(canvases(pictures[some], dtype), crops[some], size, antialias)
        views[some] = exact.round().clamp_(0, 255)  # cubics overshoot
    return views


def canvases(
    pictures: Sequence[UInt8[Tensor, "_h _w C"]], dtype: torch.dtype
) -> Float[Tensor, "n h C w"]:
    """Pictures of different sizes, each in the upper left corner of a canvas of its own that is
    large enough for all. The rest of a canvas is zero, and no crop shows it.
    """
    height, width = (max(picture.shape[side] for picture in pictures) for side in (0, 1))
    shape = (len(pictures), height, pictures[0].shape[2], width)
    canvas = torch.zeros(shape, dtype=dtype, device=pictures[0].device)
    for place, picture in zip(canvas, pictures, strict=True):
        place[: picture.shape[0], :, : picture.shape[1]] = picture.transpose(1, 2)
    return canvas


def resampled(
    canvas: Float[Tensor, "n h C w"],
    crops: Int64[Tensor, "n views numbers"],
    size: int,
    antialias: bool = True,
) -> Float[Tensor, "n views C size size"]:
    """The crops of each picture, neither rounded nor clamped, in the precision of the canvas."""
    num_pictures, height, channels, width = canvas.shape
    top, left, rows, columns, lies = crops.unbind(2)
    down = weights(top, rows, lies & UPENDED, height, size, antialias, canvas)
    across = weights(left, columns, lies & MIRRORED, width, size, antialias, canvas)
    with torch.autocast(canvas.device.type, enabled=False):
        lines = down.flatten(1, 2) @ canvas.flatten(2)
        lines = lines.view(-1, size * channels, width)
        pixels = lines @ across.flatten(0, 1).mT
    views = pixels.view(num_pictures, -1, size, channels, size).transpose(2, 3)
    turned = (lies & TRANSPOSED) > 0
    if not turned.any():
        return views
    turned = turned.to(views.device, non_blocking=True)
    return torch.where(turned[:, :, None, None, None], views.mT, views)


def weights(
    start: Int64[Tensor, "n views"],
    length: Int64[Tensor, "n views"],
    reverse: Int64[Tensor, "n views"],
    source: int,
    size: int,
    antialias: bool,
    like: Float[Tensor, "..."],
) -> Float[Tensor, "n views size source"]:
    """The matrices that turn `source` values into `size`, each from its own part of them, in
    reverse order where `reverse` is not 0; device and precision are those of `like`.
    """
    longest = int(length.max()) / size
    reach = math.ceil(2 * max(longest, 1)) if antialias else 2
    start, length, reverse = (
        numbers.to(like.device, non_blocking=True)[:, :, None]
        for numbers in (start, length, reverse)
    )
    row = torch.arange(size, device=like.device)
    row = torch.where(reverse > 0, size - 1 - row, row)
    # In whole numbers, so that a place far into a large picture is as exact as the first.
    whole = (2 * row + 1) * length // (2 * size)
    rest = (2 * row + 1) * length % (2 * size) / (2 * size)
    offset = torch.arange(-reach, reach + 1, device=like.device)
    stretch = (length / size).clamp(min=1) if antialias else torch.ones_like(rest)
    values = _cubic(
        (offset + 0.5 - rest[..., None]) / stretch[..., None], -0.5 if antialias else -0.75
    )
    place, last = whole[..., None] + offset, length[..., None] - 1
    if antialias:
        values = values * ((place >= 0) & (place <= last))
        values = values / values.sum(-1, keepdim=True)
    place = start[..., None] + place.clamp(min=0).minimum(last)
    matrices = torch.zeros(*rest.shape, source, dtype=like.dtype, device=like.device)
    return matrices.scatter_add_(-1, place, values.to(like.dtype))


def _cubic(distance: Float[Tensor, "..."], a: float) -> Float[Tensor, "..."]:
    """Keys' kernel: 1 at 0, and 0 at every other whole number and from 2 on."""
    x = distance.abs()
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = a * (((x - 5) * x + 8) * x - 4)
    return torch.where(x < 1, near, torch.where(x < 2, far, 0.0))
