"""Data by a name: drawn scenes on both grounds, for any model that takes RGB."""

from dataclasses import replace

import pytest
import torch

from stellar.config import DecoderConfig, ModelConfig
from stellar.data import (
    EMBEDDED,
    DataError,
    MaskedSplits,
    Scenes,
    open_data,
    open_embedded,
    open_scenes,
)
from stellar.data.scenes import CLASSES, COLOURS, KINDS

CONFIG = ModelConfig(image_size=48, patch_size=8, decoder=DecoderConfig(target="pixels"))


@pytest.mark.parametrize("name", EMBEDDED)
def test_each_name_opens_pictures_with_masks(name: str) -> None:
    splits = open_data(name, CONFIG)
    assert isinstance(splits, MaskedSplits)
    assert splits.classes == CLASSES
    assert (len(splits.train), len(splits.test)) == (1000, 1000)
    assert name in splits.description
    image, masks = splits.test.read(0), splits.test.masks(0)
    assert image.shape == (3, 48, 48)
    assert masks.instances.shape == (48, 48)
    assert not torch.equal(image, splits.train.read(0))
    training = open_embedded(name, "train", CONFIG, seed=3)
    assert len(training) == 100_000
    assert not torch.equal(training.read(0), splits.train.read(0)), "another seed"


def test_things_know_their_kind_and_their_colour() -> None:
    scenes = open_embedded("scenes", "heldout", CONFIG)
    assert isinstance(scenes, Scenes)
    for index in range(20):
        scene, masks = scenes.scene(index), scenes.masks(index)
        assert masks.labels["colour"] == tuple(item.colour for item in scene.objects)
        assert max(masks.labels["colour"]) < len(COLOURS)
        for number, item in enumerate(scene.objects, start=1):
            assert (masks.classes[scene.instances == number] == item.kind).all()
        assert (masks.classes[scene.instances == 0] == len(KINDS)).all()


def test_the_ground_is_paper_or_photographs() -> None:
    paper, photographs = (
        open_embedded(name, "heldout", CONFIG) for name in ("scenes", "scenes-on-photographs")
    )
    light = [
        torch.stack([s.read(i)[:, s.masks(i).instances == 0].float().mean() for i in range(10)])
        for s in (paper, photographs)
    ]
    assert light[0].min() > 225
    assert light[1].std() > 3 * light[0].std()


def test_a_split_to_choose_settings_on() -> None:
    splits = open_scenes(CONFIG, 20, 10, data="scenes", test_split="tuning")
    heldout = open_scenes(CONFIG, 20, 10, data="scenes")
    assert "test set: tuning" in splits.description
    assert not torch.equal(splits.test.read(0), heldout.test.read(0))


@pytest.mark.parametrize(("asked", "drawn"), [(8, 16), (448, 224)])
def test_models_of_other_sizes_see_scenes_resized(asked: int, drawn: int) -> None:
    config = replace(CONFIG, image_size=asked)
    assert open_embedded("scenes", "train", config).read(0).shape == (3, drawn, drawn)


@pytest.mark.parametrize("name", EMBEDDED)
def test_they_are_rgb(name: str) -> None:
    config = replace(CONFIG, in_chans=1, image_mean=(0.5,), image_std=(0.5,))
    with pytest.raises(DataError, match=r"scenes are RGB, but the model takes 1 channels"):
        open_data(name, config)
