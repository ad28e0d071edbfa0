"""The embedded scenes: deterministic, splits that share no pixel, truth that is true."""

from collections import Counter
from typing import Literal

import numpy as np
import pytest
import torch

from stellar.data import cutouts as module
from stellar.data.cutouts import MATERIALS, MIN_VISIBLE, Cutouts
from stellar.errors import MissingPackage


@pytest.fixture(scope="module")
def train() -> Cutouts:
    return Cutouts("train")


@pytest.fixture(scope="module")
def heldout() -> Cutouts:
    return Cutouts("heldout")


@pytest.fixture(scope="module")
def scenes(train: Cutouts) -> list[module.Scene]:
    return [train.scene(index) for index in range(600)]


def colours(pixels: np.ndarray) -> set[int]:
    """The colours of an array (..., 3), each as one number."""
    flat = pixels.reshape(-1, 3).astype(int)
    return set((flat[:, 0] * 65536 + flat[:, 1] * 256 + flat[:, 2]).tolist())


def test_a_scene_is_a_function_of_split_seed_and_index(train: Cutouts, heldout: Cutouts) -> None:
    first = train.scene(7)
    again = Cutouts("train").scene(7)
    assert torch.equal(first.image, again.image)
    assert torch.equal(first.instances, again.instances)
    assert first.objects == again.objects
    assert torch.equal(train.read(7), first.image)
    for other in (train.read(8), Cutouts("train", seed=1).read(7), heldout.read(7)):
        assert not torch.equal(other, first.image)


def test_is_a_source_of_images(train: Cutouts) -> None:
    assert len(Cutouts("train", length=5)) == 5
    assert train.read(0).shape == (3, 48, 48)
    assert train.read(0).dtype == torch.uint8
    assert len({train.name(index) for index in range(10)}) == 10


@pytest.mark.parametrize("size", [16, 32, 96, 130])
def test_sizes(size: int) -> None:
    source = Cutouts("heldout", size=size)
    for index in range(20):
        scene = source.scene(index)
        assert scene.image.shape == (3, size, size)
        assert all(item.visible >= MIN_VISIBLE for item in scene.objects)


def test_the_quarters_of_the_splits_share_no_pixel() -> None:
    for _, _, window in module._PHOTOGRAPHS.values():
        covered = np.zeros((400, 600), int)
        for split in ("train", "heldout"):
            for left, top, right, bottom in module._quarters((600, 400), window, split):
                covered[top:bottom, left:right] += 1
        assert covered.max() == 1
        width, height = window[2] - window[0], window[3] - window[1]
        assert covered.mean() == pytest.approx(width * height, abs=0.01)


def test_every_digit_belongs_to_one_split(train: Cutouts, heldout: Cutouts) -> None:
    assert len(train._shapes) + len(heldout._shapes) == 1797
    shapes = [{shape.tobytes() for shape in source._shapes} for source in (train, heldout)]
    assert not shapes[0] & shapes[1]
    assert set(train._digits) == set(heldout._digits) == set(range(10))


@pytest.mark.parametrize("split", ["train", "heldout"])
def test_pixels_come_from_the_material_that_the_truth_names(
    split: Literal["train", "heldout"],
) -> None:
    source = Cutouts(split)
    palettes = [
        set().union(*(colours(texture) for texture in textures)) for textures in source._textures
    ]
    for index in range(40):
        scene = source.scene(index)
        image = scene.image.permute(1, 2, 0).numpy()
        materials = [scene.background, *(item.material for item in scene.objects)]
        for number, material in enumerate(materials):
            assert colours(image[scene.instances.numpy() == number]) <= palettes[material]


def test_materials_of_a_scene_differ_and_all_occur(scenes: list[module.Scene]) -> None:
    counts = Counter()
    for scene in scenes:
        materials = [scene.background, *(item.material for item in scene.objects)]
        assert len(set(materials)) == len(materials)
        counts.update(materials)
    assert len(counts) == len(MATERIALS) == 10
    assert min(counts.values()) > 0.7 * max(counts.values())


def test_instances_are_the_visible_objects(scenes: list[module.Scene]) -> None:
    for scene in scenes:
        numbers = set(scene.instances.unique().tolist())
        assert numbers == set(range(len(scene.objects) + 1))
        for number, item in enumerate(scene.objects, start=1):
            rows, columns = torch.where(scene.instances == number)
            half = item.size / 2 + 0.5 / 48
            assert (rows.float() / 48 - item.centre[0]).abs().max() <= half
            assert (columns.float() / 48 - item.centre[1]).abs().max() <= half


def test_objects_stay_visible_and_large(scenes: list[module.Scene]) -> None:
    objects = [item for scene in scenes for item in scene.objects]
    assert min(item.visible for item in objects) >= MIN_VISIBLE
    sides = [item.size * 48 for item in objects]
    low, high = (48 * side for side in module._SIDES)
    assert low - 1 <= min(sides) <= low + 1
    assert high - 2 <= max(sides) <= high + 1
    assert all(scene.objects[-1].visible == 1 for scene in scenes)


def test_places_are_spread_and_agree_with_the_centre(scenes: list[module.Scene]) -> None:
    objects = [item for scene in scenes for item in scene.objects]
    for item in objects:
        down, across = item.centre
        assert item.quadrant == 2 * (down > 0.5) + (across > 0.5)
        assert min(abs(down - 0.5), abs(across - 0.5)) > 0.02
    counts = Counter(item.quadrant for item in objects)
    assert len(counts) == 4
    assert min(counts.values()) > 0.8 * max(counts.values())
    assert set(Counter(len(scene.objects) for scene in scenes)) == {1, 2, 3}


def test_what_and_where_tell_nothing_of_each_other(train: Cutouts) -> None:
    table = np.zeros((10, 4))
    for index in range(1500):
        for item in train.scene(index).objects:
            table[item.material, item.quadrant] += 1
    shares = table / table.sum(1, keepdims=True)
    assert np.abs(shares - 0.25).max() < 0.09


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 16"):
        Cutouts("train", size=8)


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_spec", lambda _: None)
    with pytest.raises(MissingPackage, match=r"stellar-vision\[demo\]"):
        Cutouts("train")
