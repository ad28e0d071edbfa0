"""Anything that shows a picture to the batch of tensors that the encoder takes."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from stellar.config import Fit, ModelConfig
from stellar.images import (
    InputError,
    Picture,
    fitted,
    from_array,
    from_pillow,
    from_tensor,
    in_range,
    is_of_the_machine,
    one_batch,
    read_picture,
)
from stellar.images.pillow import DECODING_ERRORS, reason_of
from stellar.images.sizes import described
from stellar.model.encoder import Images
from stellar.storage import at_home, is_address

AS_IT_CAME = "taken as it came"

_USUAL = (torch.uint8, torch.float16, torch.bfloat16, torch.float32, torch.float64)
"""Types of a batch that is taken as it is."""

OneInput = str | Path | Image.Image | np.ndarray | Tensor
"""A file, Pillow's image, an array (h w) or (h w c), or a tensor (C h w)."""
Inputs = OneInput | list[OneInput] | tuple[OneInput, ...]
"""One picture, a list of them, an array (B h w c) or a tensor (B C h w)."""


@dataclass(frozen=True)
class Prepared:
    """A batch for the encoder, and in a sentence what was done to get it."""

    images: Images
    description: str = AS_IT_CAME


def prepare(inputs: Inputs, config: ModelConfig, fit: Fit | None, like: Tensor) -> Prepared:
    """A batch on the device, and if it is floating point in the precision, of `like`.

    Without a `fit`, a tensor batch (B C H W) stays as it is, and everything else is cropped; the
    values of one that is on a GPU already are not looked at, since that would wait for it. Raises
    InputError for what is no picture, has other channels or values than the model takes, or ends
    at different sizes.
    """
    if isinstance(inputs, Tensor):
        _check_readable(inputs, like)
    if isinstance(inputs, Tensor) and inputs.ndim == 4 and fit is None:
        if inputs.shape[1] == config.in_chans and inputs.dtype in _USUAL:
            if _can_be_looked_at(inputs):
                in_range(inputs.float())
            return Prepared(_in_precision(inputs, like))
        fit = "exact"
    fit = fit or "crop"
    pictures = [_picture(one, config.in_chans, place, like) for place, one in _each(inputs)]
    if not pictures:
        raise InputError("expected at least one picture, got an empty list or batch")
    before = {_size(picture.pixels) for picture in pictures}
    images = one_batch([fitted(picture.pixels, fit, config) for picture in pictures])
    changes = dict.fromkeys(change for picture in pictures for change in picture.changes)
    count = "1 picture" if len(pictures) == 1 else f"{len(pictures)} pictures"
    sizes = described(before, _size(images), fit)
    return Prepared(_in_precision(images, like), "; ".join([f"{count}, {sizes}", *changes]))


def _can_be_looked_at(batch: Tensor) -> bool:
    """Whether it holds fractions that are at hand: a GPU would have to be waited for, and what is
    traced has none.
    """
    plain = type(batch) is Tensor and not torch.compiler.is_compiling()
    at_hand = plain and batch.device.type == "cpu" and batch.numel() > 0
    return at_hand and batch.is_floating_point()


def _in_precision(images: Images, like: Tensor) -> Images:
    return images.to(like.device) if images.dtype == torch.uint8 else images.to(like)


def _size(images: Tensor) -> tuple[int, int]:
    return images.shape[-2], images.shape[-1]


def _check_readable(tensor: Tensor, like: Tensor) -> None:
    """Raises InputError for a tensor that is no plain array of numbers in memory."""
    meta = tensor.is_meta and not like.is_meta
    if meta or tensor.is_nested or tensor.layout != torch.strided:
        kind = "nested" if tensor.is_nested else "meta" if meta else str(tensor.layout)
        raise InputError(
            f"expected a dense tensor that holds numbers, got a {kind.removeprefix('torch.')} one"
        )


def _each(inputs: Inputs) -> list[tuple[str, OneInput]]:
    """The pictures, each with the words that an error names it with."""
    if isinstance(inputs, list | tuple):
        return [(f"picture {place}: ", one) for place, one in enumerate(inputs)]
    if isinstance(inputs, Tensor | np.ndarray) and inputs.ndim == 4:
        return _each(list(inputs))
    return [("", inputs)]


def _picture(one: OneInput, channels: int, place: str, like: Tensor) -> Picture:
    if isinstance(one, str | Path):
        named = at_home(one)
        if is_address(named):
            raise InputError(
                f"{place}{named} is an address, and pictures are read from files; fetch it, and "
                "give PIL.Image.open(io.BytesIO(content))"
            )
        return read_picture(Path(named), channels)
    try:
        match one:
            case Image.Image():
                return _from_pillow(one, channels)
            case np.ndarray():
                return from_array(one, channels)
            case Tensor():
                _check_readable(one, like)
                return from_tensor(one.cpu(), channels)
    except InputError as error:
        raise InputError(f"{place}{error}") from error
    raise InputError(
        f"{place}expected a path, a PIL image, an array (h w) or (h w c) or a tensor (C h w), "
        f"got {type(one).__name__}; open bytes and streams with PIL.Image.open, and make a list of "
        "what gives pictures one by one"
    )


def _from_pillow(image: Image.Image, channels: int) -> Picture:
    """Raises InputError also for a file that Pillow cannot read: it reads it only now."""
    try:
        return from_pillow(image, channels)
    except InputError:
        raise
    except DECODING_ERRORS as error:
        if is_of_the_machine(error):
            raise
        raise InputError(
            f"the PIL image cannot be read, or was closed before ({reason_of(error)}); open its "
            "file anew, or give its path"
        ) from error
