"""Data to evaluate on, told by what lies there."""

from stellar.config import ModelConfig
from stellar.data.cutouts import MATERIALS, Cutouts
from stellar.data.masked import MaskedSplits

NUM_SCENES = 1000
"""Of the embedded scenes, to fit on and to test on."""


def open_scenes(config: ModelConfig, num_train: int = NUM_SCENES, num_test: int = NUM_SCENES,
                seed: int = 0) -> MaskedSplits:  # fmt: skip
    """The embedded scenes at a model's image size; classes are the materials."""
    size, channels = config.image_size, config.in_chans
    return MaskedSplits(
        Cutouts("train", seed, size, num_train, channels),
        Cutouts("heldout", seed, size, num_test, channels),
        MATERIALS,
        f"the embedded scenes, seed {seed}: training set: train, test set: heldout",
    )
