"""Drawn scenes: the same everywhere, true to their truth, and fair between what and where."""

import hashlib
import pickle
from collections import Counter

import numpy as np
import pytest
import torch

from stellar.data import DataError, ImageSource, MaskedSource
from stellar.data.scenes import CLASSES, COLOURS, KIND_COLOURS, KINDS, Scene, Scenes
from stellar.data.scenes.scenes import MIN_VISIBLE, SPLITS

SCENES_SHA256 = "40a8a55e174ef1e58732e2ecb5d04d30461a4f0d5efb42a35b0e46ca0ff3d9c1"
PAPER = torch.tensor([249, 246, 240])[:, None, None]


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    source = Scenes("train")
    return [source.scene(index) for index in range(1200)]


def grown(mask: torch.Tensor, pixels: int) -> torch.Tensor:
    """The mask and all within this many pixels of it."""
    size = 2 * pixels + 1
    return torch.nn.functional.max_pool2d(mask[None].float(), size, 1, pixels)[0] > 0


def test_a_scene_is_a_function_of_split_seed_and_index() -> None:
    source = Scenes("train")
    first, again = source.scene(7), Scenes("train").scene(7)
    assert torch.equal(first.image, again.image)
    assert torch.equal(first.instances, again.instances)
    assert first.objects == again.objects
    assert torch.equal(source.read(7), first.image)
    others = [source.read(8), Scenes("train", seed=1).read(7)]
    others += [Scenes(split).read(7) for split in SPLITS[1:]]
    for other in others:
        assert not torch.equal(other, first.image)


def test_scenes_are_the_same_on_every_machine() -> None:
    digest = hashlib.sha256()
    for split in SPLITS:
        for size in (48, 96):
            for index in range(6):
                scene = Scenes(split, size=size).scene(index)
                digest.update(scene.image.numpy().tobytes())
                digest.update(scene.instances.numpy().tobytes())
    assert digest.hexdigest() == SCENES_SHA256


def test_is_a_source_of_images_with_masks() -> None:
    source = Scenes("tuning", length=5)
    assert isinstance(source, ImageSource)
    assert isinstance(source, MaskedSource)
    assert len(source) == 5
    assert len({source.name(index) for index in range(10)}) == 10
    copy = pickle.loads(pickle.dumps(source))
    assert torch.equal(copy.read(3), source.read(3))
    assert len(pickle.dumps(source)) < 1000


def test_a_small_set_is_drawn_once_and_a_large_one_keeps_nothing() -> None:
    small, large = Scenes("tuning", length=5), Scenes("tuning")
    assert small.scene(4) is small.scene(4)
    assert small.scene(5) is not small.scene(5)
    assert large.scene(4) is not large.scene(4)
    assert torch.equal(small.read(4), large.read(4))


@pytest.mark.parametrize("size", [16, 32, 33, 48, 96, 224])
def test_sizes(size: int) -> None:
    source = Scenes("heldout", size=size)
    for index in range(8):
        scene = source.scene(index)
        assert scene.image.shape == (3, size, size)
        for item in scene.objects:
            assert 0.24 <= item.size <= 0.5
            down, across = item.centre
            assert item.quadrant == 2 * (down > 0.5) + (across > 0.5)


def test_instances_are_the_things(scenes: list[Scene]) -> None:
    for scene in scenes:
        numbers = set(scene.instances.unique().tolist())
        assert numbers == set(range(len(scene.objects) + 1))
        for number, item in enumerate(scene.objects, start=1):
            rows, columns = torch.where(scene.instances == number)
            sides = []
            for place, centre in ((rows, item.centre[0]), (columns, item.centre[1])):
                first, last = int(place.min()), int(place.max()) + 1
                assert centre == pytest.approx((first + last) / 96)
                sides.append(last - first)
            assert item.size == pytest.approx(max(sides) / 48)
            assert item.visible == 1


def test_what_is_drawn_belongs_to_a_thing_and_the_rest_is_paper(scenes: list[Scene]) -> None:
    for scene in scenes[:300]:
        far = (scene.image - PAPER).abs().amax(0)
        things = scene.instances > 0
        assert far[~grown(things, 2)].max() <= 12
        # An edge that a thing covers by less than half is not further than half way to black.
        assert far[~things].max() <= 0.5 * 255 + 12
        for number in range(1, len(scene.objects) + 1):
            assert (far[scene.instances == number] > 24).float().mean() > 0.7


def test_masks_name_kinds_and_ground() -> None:
    source = Scenes("tuning")
    for index in range(20):
        scene, masks = source.scene(index), source.masks(index)
        assert torch.equal(masks.instances, scene.instances)
        assert (masks.classes[scene.instances == 0] == CLASSES.index("ground")).all()
        for number, item in enumerate(scene.objects, start=1):
            assert (masks.classes[scene.instances == number] == item.kind).all()
    assert (*KINDS, "ground") == CLASSES


def test_places_agree_with_centres_and_differ(scenes: list[Scene]) -> None:
    for scene in scenes:
        assert len({item.quadrant for item in scene.objects}) == len(scene.objects)
        for item in scene.objects:
            down, across = item.centre
            assert item.quadrant == 2 * (down > 0.5) + (across > 0.5)
            assert min(abs(down - 0.5), abs(across - 0.5)) > 0.02


def test_all_numbers_kinds_colours_and_places_occur_equally_often(scenes: list[Scene]) -> None:
    things = [item for scene in scenes for item in scene.objects]
    for values, number in (
        ([len(scene.objects) for scene in scenes], 4),
        ([item.kind for item in things], len(KINDS)),
        ([item.colour for item in things], len(COLOURS)),
        ([item.quadrant for item in things], 4),
    ):
        counts = Counter(values)
        assert len(counts) == number
        # Four standard deviations of a fair draw.
        expected = len(values) / number
        assert max(abs(count - expected) for count in counts.values()) < 4 * expected**0.5
    assert all(item.colour in KIND_COLOURS[item.kind] for item in things)


def test_what_where_and_size_tell_nothing_of_each_other(scenes: list[Scene]) -> None:
    rows = [
        (item.kind, item.colour, item.quadrant, int((scene.instances == number).sum()))
        for scene in scenes
        for number, item in enumerate(scene.objects, start=1)
    ]
    kinds, colours, quadrants, areas = np.array(rows).T
    sizes = np.searchsorted(np.quantile(areas, [1 / 3, 2 / 3]), areas)
    for first, second in (
        (kinds, quadrants),
        (kinds, sizes),
        (colours, quadrants),
        (colours, sizes),
        (quadrants, sizes),
    ):
        table = np.zeros((first.max() + 1, second.max() + 1))
        np.add.at(table, (first, second), 1)
        expected = table.sum(1, keepdims=True) * table.sum(0) / table.sum()
        assert (np.abs(table - expected) < 4 * expected**0.5).all()


def test_mean_colour_names_the_hue_and_not_the_kind() -> None:
    def things(split: str, number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        source, index, rows = Scenes(split), 0, []
        while len(rows) < number:
            scene = source.scene(index)
            for place, item in enumerate(scene.objects, start=1):
                mean = scene.image[:, scene.instances == place].float().mean(1)
                rows.append((*mean.tolist(), item.colour, item.kind))
            index += 1
        table = np.array(rows[:number])
        return table[:, :3], table[:, 3].astype(int), table[:, 4].astype(int)

    means, colours, kinds = things("train", 2000)
    new_means, new_colours, new_kinds = things("heldout", 500)
    distances = ((new_means[:, None] - means) ** 2).sum(2)
    nearest = np.argsort(distances, 1, kind="stable")[:, :20]

    def right(labels: np.ndarray, expected: np.ndarray) -> float:
        votes = np.array([np.bincount(row).argmax() for row in labels[nearest]])
        return float((votes == expected).mean())

    assert right(colours, new_colours) >= 0.95
    assert right(kinds, new_kinds) <= 0.65


def test_things_may_overlap_but_stay_visible() -> None:
    source = Scenes("train", overlap=True)
    scenes = [source.scene(index) for index in range(300)]
    things = [item for scene in scenes for item in scene.objects]
    assert min(item.visible for item in things) >= MIN_VISIBLE
    assert sum(item.visible < 1 for item in things) > 0.1 * len(things)
    assert all(scene.objects[-1].visible == 1 for scene in scenes)
    for scene in scenes:
        assert len(scene.instances.unique()) == len(scene.objects) + 1
    assert any(len({item.quadrant for item in s.objects}) < len(s.objects) for s in scenes)


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="16 to 224 pixels a side, got size = 15"):
        Scenes("train", size=15)
    with pytest.raises(ValueError, match="16 to 224 pixels a side, got size = 256"):
        Scenes("train", size=256)
    with pytest.raises(DataError, match="RGB, but the model takes 4 channels"):
        Scenes("train", channels=4)
    with pytest.raises(ValueError, match="paper or photographs, got 'sand'"):
        Scenes("train", ground="sand")
    with pytest.raises(ValueError, match="train or tuning or heldout, got 'test'"):
        Scenes("test")


@pytest.mark.parametrize("size", [16, 18, 22, 28, 32])
def test_the_smallest_scenes_are_drawn_too(size: int) -> None:
    """All kinds and individuals fit, though details may lie outside of them."""
    scenes = Scenes("train", size=size)
    for index in range(150):
        scene = scenes.scene(index)
        assert len(scene.objects) == len(set(scene.instances.unique().tolist()) - {0})
