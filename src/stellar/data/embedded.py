"""The data that comes with the package, by the names that commands take in a folder's place.

`scenes` are drawn things on paper, `scenes-on-photographs` the same things where every picture has
a background of its own, and `cutouts` digits cut out of one photograph, laid on another.
"""

from stellar.config import ModelConfig
from stellar.data.cutouts import MATERIALS, Cutouts
from stellar.data.scenes import CLASSES, Scenes
from stellar.data.scenes.scenes import LARGEST, SMALLEST

EMBEDDED = ("scenes", "scenes-on-photographs", "cutouts")


def open_embedded(
    name: str, split: str, config: ModelConfig, seed: int = 0, length: int = 100_000
) -> Scenes | Cutouts:
    """One of EMBEDDED for a model: the split train or heldout, or of drawn scenes tuning. Drawn
    scenes of a size that they are not drawn in are resized like any picture.

    Raises DataError where the model does not take RGB, and MissingPackage where another package has
    the photographs.
    """
    size, channels = config.image_size, config.in_chans
    if name == "cutouts":
        assert split != "tuning"
        return Cutouts("train" if split == "train" else "heldout", seed, size, length, channels)
    size = min(max(size, SMALLEST), LARGEST)
    ground = "photographs" if name == "scenes-on-photographs" else "paper"
    return Scenes(split, seed, size, length, channels, ground)


def classes_of(name: str) -> tuple[str, ...]:
    """What the pixels of one of EMBEDDED can be of."""
    return MATERIALS if name == "cutouts" else CLASSES
