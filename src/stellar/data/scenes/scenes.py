"""Scenes of drawn things: which things, what colour, where, and the truth about every pixel.

A scene is a function of (split, seed, index) and of the settings. Kind, colour of that kind, place
and size are drawn one by one, so none tells of another. Between random numbers and pixels, whatever
a processor could round its own way is rounded to whole numbers before a pixel depends on it.
"""

from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from numpy.random import Generator, default_rng
from torch import Tensor

from stellar.data.folder import DataError
from stellar.data.labelled import Masks
from stellar.data.scenes.grounds import paper, photograph, require_photographs
from stellar.data.scenes.palette import COLOURS, mix
from stellar.data.scenes.sprites import NUM_INDIVIDUALS, Sprite, sprite
from stellar.data.scenes.things import THINGS

SPLITS = ("train", "tuning", "heldout")
"""Each has individuals of its own: what is held out was never seen in another split."""
GROUNDS = ("paper", "photographs")
KINDS: tuple[str, ...] = tuple(THINGS)
CLASSES: tuple[str, ...] = (*KINDS, "ground")
KIND_COLOURS: tuple[tuple[int, ...], ...] = tuple(
    tuple(COLOURS.index(name) for name in names) for _, names in THINGS.values()
)
"""Of each kind, the four places in COLOURS that it comes in."""
MAX_THINGS = 4
MIN_VISIBLE = 0.6
"""Share of its pixels that every thing shows at least, where things may overlap."""
SMALLEST, LARGEST = 16, 224
"""Pixels a side."""
KEPT_BYTES = 64 * 2**20
"""Of the pixels and instances of a whole set: a smaller one is kept once it is drawn."""
_PIXEL_BYTES = 4
_MARGIN = 1 / 24
"""Distance of a centre from the lines between the quadrants, so that no place is in doubt."""
_TRIES = 12


@dataclass(frozen=True)
class SceneObject:
    """What and where a thing is: quadrants are 0 1 over 2 3; lengths, shares of the image's side.

    `kind` and `colour` are places in KINDS and COLOURS; `centre` (y, x) and `size` are the middle
    and the longer side of the box around all pixels of the thing, and `visible` is the share of
    them that no other thing hides.
    """

    kind: int
    colour: int
    quadrant: int
    centre: tuple[float, float]
    size: float
    visible: float


@dataclass(frozen=True)
class Scene:
    """An image and its truth; `instances`: i + 1 where thing i is seen, 0 on the ground."""

    image: UInt8[Tensor, "3 h w"]
    instances: UInt8[Tensor, "h w"]
    objects: tuple[SceneObject, ...]


@dataclass(frozen=True)
class _Placed:
    """A sprite in its place: later ones lie in front."""

    sprite: Sprite
    mirrored: bool
    quadrant: int
    top: int
    left: int

    @property
    def box(self) -> tuple[slice, slice]:
        height, width = self.sprite.mask.shape
        return slice(self.top, self.top + height), slice(self.left, self.left + width)

    @property
    def mask(self) -> np.ndarray:
        return self.turned(self.sprite.mask)

    def turned(self, picture: np.ndarray) -> np.ndarray:
        return picture[:, ::-1] if self.mirrored else picture

    def meets(self, other: "_Placed") -> bool:
        """Whether the boxes share a pixel."""
        return all(
            mine.start < theirs.stop and theirs.start < mine.stop
            for mine, theirs in zip(self.box, other.box, strict=True)
        )

    def truth(self, kind: int, colour: int, visible: float, size: int) -> SceneObject:
        rows, columns = (np.flatnonzero(self.mask.any(axis)) for axis in (1, 0))
        (top, bottom), (left, right) = ((line[0], line[-1] + 1) for line in (rows, columns))
        centre = self.top + (top + bottom) / 2, self.left + (left + right) / 2
        return SceneObject(
            kind=kind,
            colour=colour,
            quadrant=self.quadrant,
            centre=(float(centre[0] / size), float(centre[1] / size)),
            size=int(max(bottom - top, right - left)) / size,
            visible=visible,
        )

    def paint(self, image: np.ndarray, colours: np.ndarray) -> None:
        """Lay the thing on an image (h, w, 3), in the colours of `mix`."""
        # Whole numbers below 2^24, so single precision is exact and the same on every processor.
        weights, ground = (
            self.turned(weight).astype(np.float32)
            for weight in (self.sprite.weights, self.sprite.ground_weight)
        )
        thing = weights @ colours.reshape(-1, 3)[self.sprite.colours].astype(np.float32)
        whole = self.sprite.whole
        image[self.box] = (thing + ground * image[self.box] + whole // 2) // whole


class Scenes:
    """`length` scenes of `size` by `size` pixels: a source of images that also knows the truth.

    `split` is one of SPLITS and `ground` one of GROUNDS; photographs need scikit-image. By default
    things lie in different quadrants and never overlap. With `overlap` they may, in any quadrant,
    as long as each shows MIN_VISIBLE.

    A set of up to KEPT_BYTES is drawn once, as every test of an evaluation looks at the same
    scenes; so nobody may change one.
    """

    channels = 3

    def __init__(
        self,
        split: str,
        seed: int = 0,
        size: int = 48,
        length: int = 100_000,
        channels: int = 3,
        ground: str = "paper",
        overlap: bool = False,
    ) -> None:
        if channels != self.channels:
            raise DataError(
                f"the drawn scenes are RGB, but the model takes {channels} channels; "
                "give it a folder of pictures of its own kind"
            )
        if not SMALLEST <= size <= LARGEST:
            raise ValueError(
                f"drawn scenes have {SMALLEST} to {LARGEST} pixels a side, got size = {size}"
            )
        for name, value, known in (("split", split, SPLITS), ("ground", ground, GROUNDS)):
            if value not in known:
                choices = " or ".join(known)
                raise ValueError(f"the {name} of drawn scenes is {choices}, got {value!r}")
        self.split, self.seed, self.size, self.length = split, seed, size, length
        self.ground, self.overlap = ground, overlap
        self._world = SPLITS.index(split)
        self._num_kept = length if length * size * size * _PIXEL_BYTES <= KEPT_BYTES else 0
        self._kept: dict[int, Scene] = {}
        if ground == "photographs":
            require_photographs()

    def __len__(self) -> int:
        return self.length

    def __getstate__(self) -> dict[str, Any]:
        """For another process, which draws its own."""
        return self.__dict__ | {"_kept": {}}

    def name(self, index: int) -> str:
        return f"scenes/{self.split}/{self.seed}/{index}"

    def read(self, index: int) -> UInt8[Tensor, "3 h w"]:
        return self.scene(index).image

    def scene(self, index: int) -> Scene:
        if index in self._kept:
            return self._kept[index]
        scene = self._draw(index)
        if index < self._num_kept:
            self._kept[index] = scene
        return scene

    def _draw(self, index: int) -> Scene:
        rng = default_rng([self.seed, self._world, index])
        num_things = int(rng.integers(1, MAX_THINGS + 1))
        kinds = rng.integers(len(KINDS), size=num_things).tolist()
        individuals = rng.integers(NUM_INDIVIDUALS, size=num_things).tolist()
        sprites = [
            sprite(self._world, kind, individual, self.size)
            for kind, individual in zip(kinds, individuals, strict=True)
        ]
        placed, instances, visible = self._place(rng, sprites)
        image = self._ground(rng)
        objects = []
        for kind, thing, share in zip(kinds, placed, visible, strict=True):
            colour = KIND_COLOURS[kind][int(rng.integers(len(KIND_COLOURS[kind])))]
            thing.paint(image, mix(rng, colour))
            objects.append(thing.truth(kind, colour, share, self.size))
        return Scene(
            image=torch.from_numpy(image).permute(2, 0, 1).contiguous(),
            instances=torch.from_numpy(instances),
            objects=tuple(objects),
        )

    def masks(self, index: int) -> Masks:
        """The kind of every pixel, or the ground, and the things with their colours."""
        scene = self.scene(index)
        kinds = [len(KINDS), *(item.kind for item in scene.objects)]
        return Masks(
            classes=torch.tensor(kinds, dtype=torch.uint8)[scene.instances.long()],
            instances=scene.instances,
            labels={"colour": tuple(item.colour for item in scene.objects)},
        )

    def _ground(self, rng: Generator) -> np.ndarray:
        if self.ground == "paper":
            return paper(rng, self.size)
        return photograph(rng, self.size, train=self.split == "train")

    def _place(
        self, rng: Generator, sprites: list[Sprite]
    ) -> tuple[list[_Placed], np.ndarray, list[float]]:
        """The things in their places, instances, visible shares.

        Draws places again until nothing overlaps, or until every thing shows enough. The last try
        gives every thing a quadrant of its own and keeps it inside, where no two can meet.
        """
        for attempt in range(_TRIES):
            apart = attempt == _TRIES - 1
            if self.overlap and not apart:
                quadrants = rng.integers(4, size=len(sprites)).tolist()
            else:
                quadrants = rng.permutation(4)[: len(sprites)].tolist()
            placed = []
            for thing, quadrant in zip(sprites, quadrants, strict=True):
                height, width = thing.mask.shape
                top = self._start(rng, quadrant // 2, height, apart)
                left = self._start(rng, quadrant % 2, width, apart)
                placed.append(_Placed(thing, bool(rng.integers(2)), quadrant, top, left))
            if not self.overlap and any(a.meets(b) for a, b in combinations(placed, 2)):
                continue
            instances, visible = _instances(placed, self.size)
            if min(visible) >= MIN_VISIBLE:
                break
        return placed, instances, visible

    def _start(self, rng: Generator, far: int, extent: int, inside: bool) -> int:
        """First row (or column) of a thing in the near or far half, perhaps all `inside` of it. In
        the smallest scenes a thing may be a pixel longer than a half.
        """
        half = self.size // 2
        last = half - extent if inside else int((0.5 - _MARGIN) * self.size - extent / 2)
        last = max(last, 0)
        first = min(self.size // 40, last)
        start = int(rng.integers(first, last + 1))
        return self.size - extent - start if far else start


def _instances(placed: list[_Placed], size: int) -> tuple[np.ndarray, list[float]]:
    """What lies where (size, size), and which share of every thing is seen."""
    instances = np.zeros((size, size), np.uint8)
    for number, thing in enumerate(placed, start=1):
        instances[thing.box][thing.mask] = number
    shown = np.bincount(instances.ravel(), minlength=len(placed) + 1)[1:]
    return instances, [int(s) / thing.sprite.area for s, thing in zip(shown, placed, strict=True)]
