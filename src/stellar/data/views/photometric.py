"""Colour changes of masked and local views, drawn per image and applied per image on any device.

Brightness b, contrast c, saturation s, hue h (in the order drawn) and grey are all affine in the
colour x of a pixel:

    b x,    c x + (1 - c) mean(g . x),    s x + (1 - s) g . x,    R(h) x,    g . x

with g the weights of luma and R(h) the rotation by h turns about the grey axis (linear, where other
libraries turn the hue of HSV). So they compose into one 3x4 matrix an image, followed by one clamp;
then a Gaussian blur for those that drew one. An image's result does not depend on the batch that it
is in.

Images of other channels than RGB have no colours: brightness, contrast (with the channel's own
mean) and blur change each channel; saturation, hue and grey, drawn all the same, do nothing.
"""

import math
from collections.abc import Sequence
from itertools import permutations

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float32, UInt8
from torch import Tensor

from stellar.config import ViewConfig

NUM_PARAMS = 7
"""Numbers that `draw` draws for an image."""
_BRIGHTNESS, _CONTRAST, _SATURATION, _HUE, _ORDER, _GREY, _SIGMA = range(NUM_PARAMS)
_ORDERS = tuple(permutations((_BRIGHTNESS, _CONTRAST, _SATURATION, _HUE)))
_LUMA = (0.299, 0.587, 0.114)
_CACHED_VALUES = 2**19


def draw(rng: np.random.Generator, views: ViewConfig) -> Float32[Tensor, " params"]:
    """One image's parameters: four factors, their order, grey (0, 1), blur's sigma (0: none)."""
    params = np.array([1, 1, 1, 0, 0, 0, 0], np.float32)
    uniform = rng.random(9)
    if uniform[0] < views.jitter_probability:
        params[_BRIGHTNESS] = 1 + views.brightness * (2 * uniform[1] - 1)
        params[_CONTRAST] = 1 + views.contrast * (2 * uniform[2] - 1)
        params[_SATURATION] = 1 + views.saturation * (2 * uniform[3] - 1)
        params[_HUE] = views.hue * (2 * uniform[4] - 1)
        params[_ORDER] = int(uniform[5] * len(_ORDERS))
    params[_GREY] = uniform[6] < views.grey_probability
    if uniform[7] < views.blur_probability:
        low, high = views.blur_sigma
        params[_SIGMA] = low + (high - low) * uniform[8]
    return torch.from_numpy(params)


def apply(
    images: UInt8[Tensor, "n C h w"], params: Float32[Tensor, "n params"], views: ViewConfig
) -> Float32[Tensor, "n C h w"]:
    """The changed images, values in [0, 1]. `params` are best left on the CPU, where they were
    drawn: so a GPU is not waited for.
    """
    rgb = images.shape[1] == 3
    blurred = params[:, _SIGMA].nonzero()[:, 0].to(images.device, non_blocking=True)
    params = params.to(images.device, non_blocking=True)
    means = images.mean((2, 3), dtype=torch.float32) / 255
    affine = colour_matrices(means, params) if rgb else _gains(means, params)
    change = _change_colours if rgb else _change
    # On a CPU in parts that stay in its cache: three times faster than all at once.
    part = _CACHED_VALUES // images.shape[1:].numel()
    part = max(1, part if images.device.type == "cpu" else len(images))
    done = torch.empty(images.shape, device=images.device)
    parts = (whole.split(part) for whole in (images, affine, done))
    for some, affine_of_some, out in zip(*parts, strict=True):
        change(some.float().div_(255), affine_of_some, out)
    # Apart from the colours, so that a part is full of blurred ones: a convolution of few channels
    # is a slow one.
    for some in blurred.split(2 * part):
        if len(some) > 0:
            done[some] = gaussian_blur(done[some], params[some, _SIGMA], views.blur_kernel)
    return done


def _gains(
    means: Float32[Tensor, "n C"], params: Float32[Tensor, "n params"]
) -> Float32[Tensor, "n C 2"]:
    """b (c x + (1 - c) mean(x)), channel by channel, as a factor of x and what is added; the order
    makes no difference.
    """
    brightness, contrast = params[:, :_SATURATION, None].unbind(1)
    factor, added = brightness * contrast, brightness * (1 - contrast) * means
    return torch.stack([factor.expand_as(means), added], dim=2)


def _change(
    pixels: Float32[Tensor, "n C h w"],
    affine: Float32[Tensor, "n C 2"],
    out: Float32[Tensor, "n C h w"],
) -> None:
    factor, added = affine[..., None, None].unbind(2)
    torch.addcmul(added, factor, pixels, out=out).clamp_(0, 1)


def _change_colours(
    pixels: Float32[Tensor, "n 3 h w"],
    affine: Float32[Tensor, "n 3 4"],
    out: Float32[Tensor, "n 3 h w"],
) -> None:
    red, green, blue, added = affine[..., None, None].unbind(2)
    torch.addcmul(added, red, pixels[:, 0:1], out=out)
    out.addcmul_(green, pixels[:, 1:2]).addcmul_(blue, pixels[:, 2:3]).clamp_(0, 1)


def colour_matrices(
    means: Float32[Tensor, "n 3"], params: Float32[Tensor, "n params"]
) -> Float32[Tensor, "n 3 4"]:
    """The affine map of each image's colours; contrast needs `means`, the image's mean colour."""
    luma = _constant(_LUMA, means.device)
    identity, grey = torch.eye(3, device=means.device), luma.expand(3, 3)
    brightness, contrast, saturation = params[:, :_HUE, None, None].unbind(1)
    steps = torch.stack(
        [
            brightness * identity,
            contrast * identity,
            saturation * identity + (1 - saturation) * grey,
            _hue_rotations(params[:, _HUE]),
        ],
        dim=1,
    )
    orders = _constant(_ORDERS, params.device)[params[:, _ORDER].long()]
    image = torch.arange(len(params), device=params.device)
    affine = torch.eye(3, 4, device=means.device).expand(len(params), 3, 4)
    for kind in orders.unbind(1):
        mean_luma = _product(affine[:, :, :3], means[:, :, None])[:, :, 0] + affine[:, :, 3]
        mean_luma = (mean_luma * luma).sum(1)
        affine = _product(steps[image, kind], affine)
        pull = (kind == _CONTRAST) * (1 - params[:, _CONTRAST]) * mean_luma
        affine = torch.cat([affine[:, :, :3], affine[:, :, 3:] + pull[:, None, None]], dim=2)
    is_grey = params[:, _GREY, None, None] > 0
    return torch.where(is_grey, _product(grey.expand(len(params), 3, 3), affine), affine)


def _product(
    left: Float32[Tensor, "n 3 3"], right: Float32[Tensor, "n 3 columns"]
) -> Float32[Tensor, "n 3 columns"]:
    """Matrix product in full precision, whatever autocast and TF32 are set to."""
    return (left[:, :, :, None] * right[:, None]).sum(2)


def _hue_rotations(turns: Float32[Tensor, " n"]) -> Float32[Tensor, "n 3 3"]:
    """Rotations about the axis of greys (Rodrigues); a third of a turn takes red to green."""
    angle = (2 * math.pi * turns)[:, None, None]
    identity, ones = torch.eye(3, device=turns.device), torch.ones(3, 3, device=turns.device)
    cross = _constant(((0.0, -1.0, 1.0), (1.0, 0.0, -1.0), (-1.0, 1.0, 0.0)), turns.device)
    cosine, sine = torch.cos(angle), torch.sin(angle)
    return cosine * identity + (1 - cosine) / 3 * ones + sine / math.sqrt(3) * cross


def _constant(values: Sequence, device: torch.device) -> Tensor:
    """On the device, without waiting for what it is at."""
    return torch.tensor(values).to(device, non_blocking=True)


def gaussian_blur(
    images: Float32[Tensor, "n C h w"], sigmas: Float32[Tensor, " n"], kernel_size: int
) -> Float32[Tensor, "n C h w"]:
    """Separable Gaussian blur, each image with its own sigma in pixels; mirrored at the border."""
    half = kernel_size // 2
    offsets = torch.arange(-half, half + 1, device=images.device)
    kernels = torch.exp(-(offsets**2) / (2 * sigmas[:, None] ** 2))
    kernels = kernels / kernels.sum(1, keepdim=True)
    kernels = kernels.repeat_interleave(images.shape[1], dim=0)
    # Every channel of every image is a channel with a kernel of its own.
    planes = F.pad(images, (half, half, half, half), mode="reflect").flatten(0, 1)[None]
    with torch.autocast(images.device.type, enabled=False):
        planes = F.conv2d(planes, kernels[:, None, None, :], groups=len(kernels))
        planes = F.conv2d(planes, kernels[:, None, :, None], groups=len(kernels))
    return planes.view(images.shape)
