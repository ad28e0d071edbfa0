"""What a model says about each object of pictures with masks, beside what the object truly is.

With m_p the share of the object's visible pixels that lies in patch p, the mass of token k on it is

    w_k = sum_p m_p L_pk

Its token is the one of most mass, k = argmax w: S_k is its *what*, and the map L_:k its *where*.
Objects made of several tokens are the rule, so beside S stands all that S says there, Z pooled over
the object, sum_k w_k S_k; and U pooled alike, which both were made from. The colours that are under
the mask are what no model is needed for.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor

from stellar.data.labelled import IGNORED, MaskedSource, Masks
from stellar.evaluation.features.patches import Patches
from stellar.images import Pixels, unit_range

FEATURES = ("S", "Z", "L", "U", "colour", "colours")
"""colour: the mean under the mask, RGB in [0, 1]; colours: that, and the standard deviation."""
ENOUGH = 0.8
"""Of an object's mass, what the tokens that it needs hold together."""
NUM_TOKENS, PURITY = "tokens an object needs", "purity"
BATCH = 64


@dataclass(frozen=True)
class Objects:
    """The n objects of some pictures: what the model says of each, and what it is."""

    features: Mapping[str, Float[Tensor, "n _"]]
    """Those of FEATURES that the model has."""
    labels: Mapping[str, Int64[Tensor, " n"]]
    """class; place, the quadrant of the middle of its box; and what else the data knows."""
    area: Float[Tensor, " n"]
    """Share of the picture where the object is visible."""
    wholeness: Mapping[str, Float[Tensor, " n"]]
    """NUM_TOKENS: how many tokens, those of most mass first, hold ENOUGH of it. PURITY: share of
    its token's map that lies on the object. Empty where a model has no tokens.
    """

    def __len__(self) -> int:
        return len(self.area)


@dataclass(frozen=True)
class _InPicture:
    """The n objects of one picture, without what a model says."""

    masks: Float[Tensor, "n h w"]
    labels: Mapping[str, Int64[Tensor, " n"]]
    colours: Float[Tensor, "n 6"]
    """Mean and standard deviation of RGB under the mask."""


def collect(patches: Patches, source: MaskedSource, rows: Sequence[int]) -> Objects:
    """Every object of a known class in these rows of `patches`."""
    parts = []
    for start in range(0, len(rows), BATCH):
        some = rows[start : start + BATCH]
        batch = patches.read(some, torch.device("cpu"))
        factors = zip(some, batch.sparse, batch.spatial, batch.dense, strict=True)
        for row, sparse, spatial, dense in factors:
            place = int(patches.places[row])
            there = _in_picture(source.read(place), source.masks(place))
            parts.append(_described(there, sparse, spatial, dense, patches.grid))
    return _concatenated(parts)


def _in_picture(image: Pixels, masks: Masks) -> _InPicture:
    numbers, classes = [], []
    for number in masks.instances.unique().tolist():
        of_pixels = masks.classes[masks.instances == number]
        known = of_pixels[of_pixels != IGNORED]
        if number and len(known):
            numbers.append(number)
            classes.append(int(known.long().bincount().argmax()))
    found = masks.instances[None] == masks.instances.new_tensor(numbers)[:, None, None]
    more = {
        name: torch.tensor([values[number - 1] for number in numbers], dtype=torch.int64)
        for name, values in masks.labels.items()
    }
    labels = {"class": torch.tensor(classes, dtype=torch.int64), "place": _quadrants(found)}
    return _InPicture(found.float(), labels | more, _colours(image, found.float()))


def _quadrants(masks: Tensor) -> Int64[Tensor, " n"]:
    """0 1 over 2 3, of the middle of the box around each mask."""
    lower = []
    for axis, length in ((2, masks.shape[1]), (1, masks.shape[2])):
        there = masks.any(dim=axis).int()
        first, last = there.argmax(dim=1), length - 1 - there.flip(1).argmax(dim=1)
        lower.append(first + last + 1 > length)
    return 2 * lower[0].long() + lower[1].long()


def _colours(image: Pixels, masks: Float[Tensor, "n h w"]) -> Float[Tensor, "n _"]:
    pixels, weights = unit_range(image).flatten(1).T, masks.flatten(1)
    weights = weights / weights.sum(dim=1, keepdim=True)
    mean = weights @ pixels
    return torch.cat([mean, (weights @ pixels**2 - mean**2).clamp_min(0).sqrt()], dim=1)


def coverage(masks: Float[Tensor, "n h w"], grid: tuple[int, int]) -> Float[Tensor, "n P"]:
    """How much of each patch every mask covers."""
    return F.adaptive_avg_pool2d(masks[:, None], grid).flatten(1)


def _described(
    there: _InPicture,
    sparse: Float[Tensor, "K D"],
    spatial: Float[Tensor, "P K"],
    dense: Float[Tensor, "P D"],
    grid: tuple[int, int],
) -> Objects:
    """With what a model says: U, and S, Z and L if it has tokens."""
    covered = coverage(there.masks, grid)
    shares = covered / covered.sum(dim=1, keepdim=True)
    channels = there.colours.shape[1] // 2
    features = {
        "U": shares @ dense, "colour": there.colours[:, :channels], "colours": there.colours,
    }  # fmt: skip
    wholeness = {}
    if spatial.shape[1]:
        mass = shares @ spatial
        token = mass.argmax(dim=1)
        features |= {"S": sparse[token], "Z": mass @ sparse, "L": spatial.T[token]}
        held = mass.sort(dim=1, descending=True).values.cumsum(dim=1)
        on_it = (covered * spatial.T[token]).sum(dim=1)
        wholeness = {
            NUM_TOKENS: 1.0 + (held < ENOUGH).sum(dim=1),
            PURITY: on_it / spatial.T[token].sum(dim=1),
        }
    return Objects(features, there.labels, there.masks.mean(dim=(1, 2)), wholeness)


def _concatenated(parts: Sequence[Objects]) -> Objects:
    """The objects of all parts, in order."""

    def joined(mappings: list[Mapping[str, Tensor]]) -> dict[str, Tensor]:
        return {name: torch.cat([each[name] for each in mappings]) for name in mappings[0]}

    return Objects(
        joined([part.features for part in parts]),
        joined([part.labels for part in parts]),
        torch.cat([part.area for part in parts]),
        joined([part.wholeness for part in parts]),
    )
