"""Data to evaluate on, told by what lies there: see docs/data.md for the layouts."""

from pathlib import Path

from stellar.config import ModelConfig
from stellar.data.embedded import EMBEDDED, open_embedded
from stellar.data.folder import DataError
from stellar.data.labelled import MaskedSplits, Splits, open_labelled
from stellar.data.labelled.clevrtex import clevrtex_folder, open_clevrtex
from stellar.data.labelled.coco import coco_folder, open_coco
from stellar.data.labelled.movi import movi_folder, open_movi
from stellar.data.labelled.pairs import are_pairs, open_pairs
from stellar.data.labelled.segmentation_sets import (
    ade20k_folder,
    cityscapes_folder,
    open_ade20k,
    open_cityscapes,
    open_cityscapes_raw,
    open_voc,
    voc_folder,
)
from stellar.data.scenes import CLASSES
from stellar.storage import at_home, permitted

NUM_SCENES = 1000
"""Of the embedded scenes, to fit on, and as many to test on."""


def open_data(
    data: Path | str, config: ModelConfig, raw_labels: bool = False
) -> Splits | MaskedSplits:
    """Pictures with classes or with masks, for a model with this configuration.

    `data` is a folder, a CSV file, or one of the embedded data sets. The first mask of each set is
    read. `raw_labels` takes all labels of Cityscapes for classes. Raises DataError, with the tree
    that is expected, for any other layout.
    """
    if str(data) in EMBEDDED:
        return open_scenes(config, NUM_SCENES, NUM_SCENES, data=str(data))
    with permitted(data, DataError):
        return _opened(Path(at_home(data)), config.in_chans, raw_labels)


def _opened(path: Path, channels: int, raw_labels: bool) -> Splits | MaskedSplits:
    """Raises PermissionError for what may not be looked at, and else as `open_data` does."""
    if ade20k := ade20k_folder(path):
        splits = open_ade20k(ade20k, channels)
    elif voc := voc_folder(path):
        splits = open_voc(voc, channels)
    elif cityscapes := cityscapes_folder(path):
        opened = open_cityscapes_raw if raw_labels else open_cityscapes
        splits = opened(cityscapes, channels)
    elif coco := coco_folder(path):
        splits = open_coco(coco, channels)
    elif clevrtex := clevrtex_folder(path):
        splits = open_clevrtex(clevrtex, channels)
    elif movi := movi_folder(path):
        splits = open_movi(movi, channels)
    elif are_pairs(path):
        splits = open_pairs(path, channels)
    else:
        return open_labelled(path, channels)
    for source in (splits.train, splits.test):
        source.masks(0)
    return splits


def open_scenes(
    config: ModelConfig,
    num_train: int = NUM_SCENES,
    num_test: int = NUM_SCENES,
    seed: int = 0,
    data: str = "scenes",
    test_split: str = "heldout",
) -> MaskedSplits:
    """One of the embedded data sets for a model; classes are the kinds of things and the ground."""
    train = open_embedded(data, "train", config, seed, num_train)
    return MaskedSplits(
        train,
        open_embedded(data, test_split, config, seed, num_test),
        CLASSES,
        f"the embedded {data} at {train.size} px, seed {seed}; training set: train, test set: "
        f"{test_split}",
    )
