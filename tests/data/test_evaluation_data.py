"""Data of every kind through one function; the scenes as pictures with masks."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from stellar.config import DecoderConfig, ModelConfig
from stellar.data import MATERIALS, Cutouts, DataError, MaskedSplits, Splits, open_data

Save = Callable[..., Path]
CONFIG = ModelConfig(image_size=32, patch_size=8)


def test_the_scenes_are_pictures_with_masks() -> None:
    splits = open_data("cutouts", CONFIG)
    assert isinstance(splits, MaskedSplits)
    assert splits.classes == MATERIALS
    assert (len(splits.train), len(splits.test)) == (1000, 1000)
    assert isinstance(splits.test, Cutouts)
    assert (splits.train.name(0), splits.test.name(0)) == (
        "cutouts/train/0/0",
        "cutouts/heldout/0/0",
    )
    for index in range(20):
        scene, masks = splits.test.scene(index), splits.test.masks(index)
        assert masks.classes.shape == scene.image.shape[1:] == (32, 32)
        assert masks.classes.dtype == torch.uint8
        assert torch.equal(masks.instances, scene.instances)
        assert (masks.classes[scene.instances == 0] == scene.background).all()
        for number, item in enumerate(scene.objects, start=1):
            assert (masks.classes[scene.instances == number] == item.material).all()


def test_labels_are_told_from_masks(tmp_path: Path, save: Save) -> None:
    for name in ("a/1.png", "a/2.png", "b/1.png", "b/2.png"):
        save(tmp_path / "labels" / name, 0)
    assert isinstance(open_data(tmp_path / "labels", CONFIG), Splits)
    (tmp_path / "labels/all.csv").write_text("path,label\na/1.png,x\na/2.png,x\nb/1.png,y;x\n")
    splits = open_data(str(tmp_path / "labels/all.csv"), CONFIG)
    assert isinstance(splits, Splits)
    assert splits.multi_label
    for name in ("1", "2"):
        save(tmp_path / f"masks/images/{name}.jpg", 0)
        save(tmp_path / f"masks/masks/{name}.png", [[0, 1, 1], [1, 1, 0]])
    assert isinstance(open_data(tmp_path / "masks", CONFIG), MaskedSplits)


def test_anything_else_shows_trees_of_both(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no pictures in") as caught:
        open_data(tmp_path, CONFIG)
    for tree in ("FOLDER/CLASS", "FOLDER/masks", "ILSVRC", "path,label"):
        assert tree in str(caught.value)


def test_the_scenes_are_rgb() -> None:
    decoder = DecoderConfig(target="pixels")
    config = ModelConfig(in_chans=1, image_mean=(0.5,), image_std=(0.5,), decoder=decoder)
    with pytest.raises(DataError, match="the embedded scenes are RGB"):
        open_data("cutouts", config)
