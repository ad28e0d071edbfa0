"""The data that comes with the package, by the names that commands take in a folder's place.

`scenes` are drawn things on paper, `scenes-on-photographs` the same things where every picture has
a background of its own.
"""

from stellar.config import ModelConfig
from stellar.data.scenes import Scenes
from stellar.data.scenes.scenes import LARGEST, SMALLEST

EMBEDDED = {"scenes": "paper", "scenes-on-photographs": "photographs"}
"""What the things lie on, by name."""


def open_embedded(
    name: str, split: str, config: ModelConfig, seed: int = 0, length: int = 100_000
) -> Scenes:
    """One of EMBEDDED for a model: the split train, tuning or heldout. Scenes that are not drawn in
    the model's size are resized like any picture.

    Raises DataError where the model does not take RGB, and MissingPackage where another package has
    the photographs.
    """
    size = min(max(config.image_size, SMALLEST), LARGEST)
    return Scenes(split, seed, size, length, config.in_chans, EMBEDDED[name])


def name_of(scenes: Scenes) -> str:
    """One of EMBEDDED: by which these were opened."""
    return next(name for name, ground in EMBEDDED.items() if ground == scenes.ground)
