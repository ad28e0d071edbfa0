"""What scenes lie on: paper, or a crop of a photograph that comes with scikit-image."""

from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.random import Generator
from PIL import Image

from stellar.errors import MissingPackage

_PAPER = (249, 246, 240)
_TINT, _SLOPE, _GRAIN = 4, 6, 2
"""How far the whole sheet, its edges, and a single pixel go from that, of 255."""

PHOTOGRAPHS = (
    "astronaut.png",
    "chelsea.png",
    "coffee.png",
    "retina.jpg",
    "rocket.jpg",
    "hubble_deep_field.jpg",
    "ihc.png",
    "motorcycle_left.png",
)
_SCALE = 2
"""What a quarter of a photograph is reduced to: its shorter side, in sides of the picture."""


def paper(rng: Generator, size: int) -> np.ndarray:
    """An almost white sheet (size, size, 3): a little tint, a gentle slope of light, soft grain."""
    tint = rng.integers(-_TINT, _TINT + 1, size=3)
    down, across = rng.integers(-_SLOPE, _SLOPE + 1, size=2)
    steps = 2 * np.arange(size) - size
    light = (down * steps[:, None] + across * steps) // (2 * size)
    light += rng.integers(-_GRAIN, _GRAIN + 1, size=(size, size), dtype=np.int8)
    sheet = light[..., None] + (np.array(_PAPER) + tint)
    return np.clip(sheet, 0, 255).astype(np.uint8)


def photograph(rng: Generator, size: int, train: bool) -> np.ndarray:
    """A crop of any of PHOTOGRAPHS."""
    return crop_of(rng, int(rng.integers(len(PHOTOGRAPHS))), size, train)


def crop_of(rng: Generator, number: int, size: int, train: bool) -> np.ndarray:
    """A crop (size, size, 3), perhaps mirrored, of what the training set (or every other) sees of
    one of PHOTOGRAPHS.
    """
    quarter = _quarter(number, train, int(rng.integers(2)), size)
    height, width, _ = quarter.shape
    top, left = int(rng.integers(height - size + 1)), int(rng.integers(width - size + 1))
    crop = quarter[top : top + size, left : left + size]
    return crop[:, ::-1].copy() if rng.integers(2) else crop.copy()


def require_photographs() -> None:
    """Raise MissingPackage where there are none."""
    if find_spec("skimage") is None:
        raise MissingPackage(
            "drawn scenes on photographs need scikit-image; "
            'install it with: pip install "stellar-vision[demo]"'
        )


@lru_cache(maxsize=256)  # of the sizes that things cut from them have, too
def _quarter(number: int, train: bool, low: int, size: int) -> np.ndarray:
    """The upper (0) or lower (1) of the two quarters that a split sees of a photograph.

    Reduced if it is large, enlarged only if a picture would not fit.
    """
    package = find_spec("skimage")
    assert package is not None
    assert package.origin is not None
    with Image.open(Path(package.origin).parent / "data" / PHOTOGRAPHS[number]) as file:
        photograph = file.convert("RGB")
    quarter = photograph.crop(quarter_box(photograph.size, train, low))
    scale = max(size, min(_SCALE * size, *quarter.size)) / min(quarter.size)
    width, height = (round(extent * scale) for extent in quarter.size)
    return np.asarray(quarter.resize((width, height), Image.Resampling.LANCZOS))


def quarter_box(extent: tuple[int, int], train: bool, low: int) -> tuple[int, int, int, int]:
    """Left, top, right and bottom: training sees upper left and lower right, others the rest."""
    width, height = extent[0] // 2, extent[1] // 2
    left = width if (low == 1) == train else 0
    return left, low * height, left + width, low * height + height
