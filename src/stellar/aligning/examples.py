"""What the map is learned from: tokens, and what the tower says of what they show.

A token's part of a picture is the square around the box of its map (places.py), where every pixel
fades to a colour that says nothing by as much as the patch is other tokens'. The mean of all tokens
goes with the whole picture.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch.nn.functional as F
from jaxtyping import Float, Float32
from torch import Tensor

from stellar.aligning.towers import Tower
from stellar.config import Fit
from stellar.data import ImageSource
from stellar.images import InputError, Pixels, framed, unit_range
from stellar.images.sizes import resize
from stellar.model import Stellar
from stellar.precision import inference
from stellar.searching.places import places
from stellar.searching.vectors import unit

Progress = Callable[[int, int], object]
"""Called with what is done, and what there is to do."""
SMALLEST_SHARE = 0.01
"""Of the picture: tokens with less show nothing that could be named."""
LARGEST = 1024
"""Pixels of the longer side, of which parts are cut: towers see 224 to 384 of each part."""
MARGIN = 0.15
"""Added on each side of a token's box, of its longer side."""


@dataclass(frozen=True)
class Examples:
    """Tokens of length 1, and vectors of the tower's for each."""

    sparse: Float32[np.ndarray, "n D"]
    target: Float32[np.ndarray, "n E"]
    picture: np.ndarray
    """The number of the picture that each comes from."""

    def __len__(self) -> int:
        return len(self.sparse)


def token_examples(
    model: Stellar,
    tower: Tower,
    source: ImageSource,
    indices: Sequence[int],
    fit: Fit,
    crops: int,
    seed: int = 0,
    progress: Progress = lambda _done, _total: None,
) -> tuple[Examples, list[str]]:
    """Of each picture the mean token and `crops` of its tokens, drawn by their shares; and names
    of pictures that could not be read.
    """
    rng, fill = np.random.default_rng(seed), tower.fill()
    sparse, target, numbers, unread = [], [], [], []
    for done, index in enumerate(indices, 1):
        try:
            pixels = source.read(index)
        except InputError:
            unread.append(source.name(index))
            continue
        tokens, maps = _factors(model, pixels, fit)
        chosen, whole = _drawn(maps, crops, rng), _whole(pixels, fit)
        shown = [whole, *(token_part(whole, maps[token], fill) for token in chosen)]
        target.append(tower.pictures(shown).numpy())
        sparse.append(unit(np.stack([tokens.mean(axis=0), *tokens[chosen]])))
        numbers.append(np.full(len(shown), index))
        progress(done, len(indices))
    return _joined(sparse, target, numbers), unread


def caption_examples(
    model: Stellar,
    tower: Tower,
    source: ImageSource,
    captions: Sequence[Sequence[str]],
    fit: Fit,
    progress: Progress = lambda _done, _total: None,
) -> tuple[Examples, list[str]]:
    """Of each picture the mean token, with what the tower says of each of its captions."""
    sparse, target, numbers, unread = [], [], [], []
    for number, texts in enumerate(captions):
        try:
            pixels = source.read(number)
        except InputError:
            unread.append(source.name(number))
            continue
        tokens, _ = _factors(model, pixels, fit)
        sparse.append(np.repeat(unit(tokens.mean(axis=0, keepdims=True)), len(texts), axis=0))
        target.append(tower.texts(texts).numpy())
        numbers.append(np.full(len(texts), number))
        progress(number + 1, len(captions))
    return _joined(sparse, target, numbers), unread


def token_part(
    picture: Float32[Tensor, "3 h w"], token: Float[Tensor, "gh gw"], fill: Float32[Tensor, "3"]
) -> Float32[Tensor, "3 s t"]:
    """The part of a picture, in [0, 1], that a token explains."""
    height, width = picture.shape[1:]
    share = F.interpolate(token[None, None], (height, width), mode="bilinear")[0]
    share = (share / share.max().clamp(min=1e-6)).clamp(0, 1)
    faded = share * picture + (1 - share) * fill[:, None, None]
    x0, y0, x1, y1 = places(token[None].numpy()).box[0].tolist()
    half = (0.5 + MARGIN) * max((x1 - x0) * width, (y1 - y0) * height)
    x, y = (x0 + x1) / 2 * width, (y0 + y1) / 2 * height
    left, top = max(0, int(x - half)), max(0, int(y - half))
    return faded[:, top : max(top + 1, round(y + half)), left : max(left + 1, round(x + half))]


def _drawn(maps: Float[Tensor, "K gh gw"], count: int, rng: np.random.Generator) -> list[int]:
    """Different tokens, each the more likely the more of the picture it has."""
    shares = maps.mean(dim=(1, 2)).double().numpy()
    shares = np.where(shares >= SMALLEST_SHARE, shares, 0)
    if not shares.any():
        return []
    count = min(count, int((shares > 0).sum()))
    return rng.choice(len(shares), count, replace=False, p=shares / shares.sum()).tolist()


def _whole(pixels: Pixels, fit: Fit) -> Float32[Tensor, "3 s t"]:
    """What the model saw, in the picture's own pixels, or LARGEST of them."""
    seen = framed(pixels, fit)
    scale = min(1, LARGEST / max(seen.shape[1:]))
    height, width = (max(1, round(scale * side)) for side in seen.shape[1:])
    return unit_range(resize(seen, height, width)).float()


def _factors(
    model: Stellar, pixels: Pixels, fit: Fit
) -> tuple[Float32[np.ndarray, "K D"], Float32[Tensor, "K gh gw"]]:
    """Tokens and maps of a picture."""
    with inference(model):
        factors = model.encode(pixels, fit)
    return factors.sparse[0].float().cpu().numpy(), factors.maps[0].float().cpu()


def _joined(
    sparse: list[np.ndarray], target: list[np.ndarray], numbers: list[np.ndarray]
) -> Examples:
    if not sparse:
        return Examples(np.zeros((0, 1), np.float32), np.zeros((0, 1), np.float32), np.zeros(0))
    return Examples(np.concatenate(sparse), np.concatenate(target), np.concatenate(numbers))
