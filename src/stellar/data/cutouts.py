"""Embedded scenes with a *what* and a *where*: digits cut out of one photograph, laid on another.

A scene has one to three objects. Each is a handwritten digit (scikit-learn's 1,797, thickened)
filled with a crop of one of ten colour photographs, on a background from an eleventh crop; all
materials of a scene differ. Of each photograph a characteristic window is divided into four: train
scenes use its upper left and lower right quarters, held-out scenes the other two, so no pixel is
shared; every fourth digit is held out. Scenes are a function of (split, seed, index).
"""

from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from stellar.data.folder import DataError
from stellar.data.labelled import Masks
from stellar.errors import MissingPackage

# Material: package, file in it, window of the photograph (left, top, right, bottom) that shows it.
_PHOTOGRAPHS = {
    "astronaut": ("skimage", "data/astronaut.png", (0.07, 0.42, 0.55, 0.94)),
    "cat": ("skimage", "data/chelsea.png", (0.0, 0.0, 0.85, 1.0)),
    "coffee": ("skimage", "data/coffee.png", (0.0, 0.0, 1.0, 1.0)),
    "retina": ("skimage", "data/retina.jpg", (0.17, 0.17, 0.83, 0.83)),
    "rocket": ("skimage", "data/rocket.jpg", (0.0, 0.0, 1.0, 1.0)),
    "galaxies": ("skimage", "data/hubble_deep_field.jpg", (0.0, 0.0, 1.0, 1.0)),
    "tissue": ("skimage", "data/ihc.png", (0.0, 0.0, 1.0, 1.0)),
    "motorcycle": ("skimage", "data/motorcycle_left.png", (0.12, 0.3, 0.92, 0.9)),
    "pagoda": ("sklearn", "datasets/images/china.jpg", (0.14, 0.12, 0.56, 0.88)),
    "flower": ("sklearn", "datasets/images/flower.jpg", (0.25, 0.14, 0.73, 0.86)),
}
MATERIALS: tuple[str, ...] = tuple(_PHOTOGRAPHS)

MAX_OBJECTS = 3
MIN_VISIBLE = 0.6
"""Share of its pixels that every object shows at least."""
_SIDES = (0.42, 0.66)
"""Longer side of an object, smallest and largest, as a share of the image's side."""
_MARGIN = 1 / 24
"""Distance of a centre from the lines between the quadrants, so that no place is in doubt."""
_TEXTURE_SIDES = (1.6, 2.2)
"""Shorter sides that a quarter of a photograph is reduced to, as multiples of the image's side."""
_THRESHOLD = 25
"""Ink, of 255, from which a pixel belongs to a digit; half would leave the strokes thin."""


@dataclass(frozen=True)
class SceneObject:
    """What and where an object is: quadrants are 0 1 over 2 3; lengths, shares of the image's side.

    `centre` is (y, x) of the box around the whole object, `size` the longer side of that box, and
    `visible` the share of the object's pixels that no other object hides.
    """

    material: int
    digit: int
    quadrant: int
    centre: tuple[float, float]
    size: float
    visible: float


@dataclass(frozen=True)
class Scene:
    """An image and its truth; `instances`: i + 1 where object i is visible, 0 on the background."""

    image: UInt8[Tensor, "3 h w"]
    instances: UInt8[Tensor, "h w"]
    background: int
    objects: tuple[SceneObject, ...]


class Cutouts:
    """`length` scenes of `size` by `size` pixels: a source of images that also knows the truth."""

    channels = 3

    def __init__(
        self,
        split: Literal["train", "heldout"],
        seed: int = 0,
        size: int = 48,
        length: int = 100_000,
        channels: int = 3,
    ) -> None:
        if channels != self.channels:
            raise DataError(
                f"the embedded scenes are RGB, but the model takes {channels} channels; "
                "give it a folder of pictures of its own kind"
            )
        if size < 16:
            raise ValueError(f"cutouts need at least 16 pixels a side, got size = {size}")
        if find_spec("skimage") is None or find_spec("sklearn") is None:
            raise MissingPackage(
                "the embedded scenes need scikit-image and scikit-learn; "
                'install them with: pip install "stellar-vision[demo]"'
            )
        self.split, self.seed, self.size, self.length = split, seed, size, length
        self._textures = [_load_textures(name, split, size) for name in MATERIALS]
        self._shapes, self._digits = _load_shapes(split)

    def __len__(self) -> int:
        return self.length

    def name(self, index: int) -> str:
        return f"cutouts/{self.split}/{self.seed}/{index}"

    def read(self, index: int) -> UInt8[Tensor, "3 h w"]:
        image, _, _, _ = self._draw(index)
        return torch.from_numpy(image).permute(2, 0, 1)

    def scene(self, index: int) -> Scene:
        image, instances, background, objects = self._draw(index)
        return Scene(
            image=torch.from_numpy(image).permute(2, 0, 1).contiguous(),
            instances=torch.from_numpy(instances),
            background=background,
            objects=objects,
        )

    def masks(self, index: int) -> Masks:
        """The material of every pixel, the background's included, and the objects with their shape,
        which is a digit.
        """
        scene = self.scene(index)
        materials = [scene.background, *(item.material for item in scene.objects)]
        classes = torch.tensor(materials, dtype=torch.uint8)[scene.instances.long()]
        shapes = tuple(item.digit for item in scene.objects)
        return Masks(classes, scene.instances, {"shape": shapes})

    def _draw(self, index: int) -> tuple[np.ndarray, np.ndarray, int, tuple[SceneObject, ...]]:
        """As arrays: image (h, w, 3), instances (h, w), background's material; objects."""
        rng = np.random.default_rng([self.seed, self.split == "heldout", index])
        num_objects = int(rng.integers(1, MAX_OBJECTS + 1))
        background, *materials = rng.permutation(len(MATERIALS))[: num_objects + 1].tolist()
        quadrants = rng.permutation(4)[:num_objects].tolist()
        digits = rng.integers(len(self._shapes), size=num_objects).tolist()
        instances, boxes, visible = self._place(rng, digits, quadrants)
        image = self._texture(rng, background, self.size, self.size).copy()
        objects = []
        for number, (top, left, height, width) in enumerate(boxes):
            box = np.s_[top : top + height, left : left + width]
            filling = self._texture(rng, materials[number], height, width)
            np.copyto(image[box], filling, where=(instances[box] == number + 1)[..., None])
            objects.append(
                SceneObject(
                    material=materials[number],
                    digit=int(self._digits[digits[number]]),
                    quadrant=quadrants[number],
                    centre=((top + height / 2) / self.size, (left + width / 2) / self.size),
                    size=max(height, width) / self.size,
                    visible=visible[number],
                )
            )
        return image, instances, background, tuple(objects)

    def _place(
        self, rng: np.random.Generator, digits: list[int], quadrants: list[int], tries: int = 12
    ) -> tuple[np.ndarray, list[tuple[int, int, int, int]], list[float]]:
        """Instances, boxes (top, left, height, width), visible shares; later shapes lie in front.

        Draws again until every shape shows enough, each time with a smaller largest side. The last
        try puts the smallest shapes into the corners, where different quadrants do not meet.
        """
        low, high = _SIDES
        for attempt in range(tries):
            largest = high - (high - low) * attempt / (tries - 1)
            instances = np.zeros((self.size, self.size), np.uint8)
            boxes, areas = [], []
            for number, (digit, quadrant) in enumerate(zip(digits, quadrants, strict=True)):
                shape = self._scaled_shape(digit, rng.uniform(low, largest))
                height, width = shape.shape
                spread = 0.0 if attempt == tries - 1 else 1.0
                top = self._start(spread * rng.random(), quadrant // 2, height)
                left = self._start(spread * rng.random(), quadrant % 2, width)
                instances[top : top + height, left : left + width][shape] = number + 1
                boxes.append((top, left, height, width))
                areas.append(np.count_nonzero(shape))
            shown = np.bincount(instances.ravel(), minlength=len(digits) + 1)[1:]
            visible = (shown / areas).tolist()
            if min(visible) >= MIN_VISIBLE:
                break
        return instances, boxes, visible

    def _start(self, position: float, far: int, extent: int) -> int:
        """First row (or column) of a shape; position 0: at the edge, 1: nearest to the middle."""
        room = max(0, int((0.5 - _MARGIN) * self.size - extent / 2))
        start = int(position * (room + 1))
        return self.size - extent - start if far else start

    def _scaled_shape(self, digit: int, side: float) -> np.ndarray:
        """The thickened digit, True on the shape, its longer side `side` of the image's."""
        shape = self._shapes[digit]
        scale = side * self.size / max(shape.size)
        width, height = (max(1, round(extent * scale)) for extent in shape.size)
        return np.asarray(shape.resize((width, height), Image.Resampling.BILINEAR)) > 127

    def _texture(
        self, rng: np.random.Generator, material: int, height: int, width: int
    ) -> np.ndarray:
        """A random crop of one of the material's quarters, at a random scale, perhaps mirrored."""
        textures = self._textures[material]
        choice = int(rng.integers(2 * len(textures)))
        texture = textures[choice // 2]
        top = int(rng.integers(texture.shape[0] - height + 1))
        left = int(rng.integers(texture.shape[1] - width + 1))
        crop = texture[top : top + height, left : left + width]
        return crop[:, ::-1] if choice % 2 else crop


def _package_file(package: str, relative: str) -> Path:
    spec = find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / relative


@lru_cache(maxsize=6 * len(MATERIALS))  # both splits at three sizes
def _load_textures(material: str, split: str, size: int) -> tuple[np.ndarray, ...]:
    """Two quarters of a photograph's window, each at every texture scale: arrays (h, w, 3)."""
    package, relative, window = _PHOTOGRAPHS[material]
    with Image.open(_package_file(package, relative)) as file:
        photograph = file.convert("RGB")
    textures = []
    for box in _quarters(photograph.size, window, split):
        quarter = photograph.crop(box)
        for multiple in _TEXTURE_SIDES:
            scale = multiple * size / min(quarter.size)
            width, height = (round(extent * scale) for extent in quarter.size)
            textures.append(np.asarray(quarter.resize((width, height), Image.Resampling.LANCZOS)))
    return tuple(textures)


def _quarters(
    size: tuple[int, int], window: tuple[float, float, float, float], split: str
) -> list[tuple[int, int, int, int]]:
    """Boxes (left, top, right, bottom) of the split's two quarters of a window, in pixels."""
    left, top, right, bottom = (
        int(share * extent) for share, extent in zip(window, size * 2, strict=True)
    )
    columns = (left, (left + right) // 2, right)
    rows = (top, (top + bottom) // 2, bottom)
    chosen = ((0, 0), (1, 1)) if split == "train" else ((0, 1), (1, 0))
    return [(columns[x], rows[y], columns[x + 1], rows[y + 1]) for y, x in chosen]


@cache
def _load_shapes(split: str) -> tuple[tuple[Image.Image, ...], np.ndarray]:
    """The split's digits and labels: soft, thick masks, cut to the box where they are > 127."""
    from sklearn.datasets import load_digits

    strokes, labels = load_digits(return_X_y=True)
    chosen = (np.arange(len(labels)) % 4 == 3) == (split == "heldout")
    shapes = []
    for digit in strokes[chosen].reshape(-1, 8, 8):
        canvas = np.pad(digit * (255 / 16), 2).astype(np.uint8)
        smooth = Image.fromarray(canvas).resize((48, 48), Image.Resampling.BICUBIC)
        # A low threshold thickens the strokes; a steep ramp keeps the edge smooth when scaled.
        mask = np.clip(127 + 4 * (np.asarray(smooth, np.int32) - _THRESHOLD), 0, 255)
        rows, columns = np.nonzero(mask > 127)
        box = np.s_[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
        shapes.append(Image.fromarray(mask[box].astype(np.uint8)))
    return tuple(shapes), labels[chosen]
