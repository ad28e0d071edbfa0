"""Published segmentation sets in their true layouts and label conventions."""

from collections.abc import Callable
from pathlib import Path

import pytest

from stellar.config import ModelConfig
from stellar.data import DataError, MaskedSplits, open_data
from stellar.images import UnreadableImage

Save = Callable[..., Path]


def opened(root: Path, raw_labels: bool = False) -> MaskedSplits:
    splits = open_data(root, ModelConfig(), raw_labels)
    assert isinstance(splits, MaskedSplits)
    return splits


@pytest.fixture
def ade20k(tmp_path: Path, save: Save) -> Path:
    root = tmp_path / "ADEChallengeData2016"
    for split, name in (("training", "ADE_train_00000001"), ("validation", "ADE_val_00000001")):
        save(root / f"images/{split}/{name}.jpg", 9)
        save(root / f"annotations/{split}/{name}.png", [[0, 1, 150], [13, 13, 0]])
    return root


@pytest.fixture
def voc(tmp_path: Path, save: Save) -> Path:
    root = tmp_path / "VOCdevkit/VOC2012"
    (root / "Annotations").mkdir(parents=True)
    (root / "ImageSets/Segmentation").mkdir(parents=True)
    (root / "ImageSets/Segmentation/train.txt").write_text("2007_000032\n2007_000039\n")
    (root / "ImageSets/Segmentation/val.txt").write_text("2007_000033\n")
    for name in ("2007_000032", "2007_000033", "2007_000039"):
        save(root / f"JPEGImages/{name}.jpg", 0)
        save(root / f"SegmentationClass/{name}.png", [[0, 15, 255], [15, 1, 20]], palette=True)
        save(root / f"SegmentationObject/{name}.png", [[0, 1, 255], [2, 3, 4]], palette=True)
    save(root / "JPEGImages/2008_000001.jpg", 0)  # without a mask, as most
    return root


@pytest.fixture
def cityscapes(tmp_path: Path, save: Save) -> Path:
    for split, city in (("train", "aachen"), ("train", "bochum"), ("val", "munster")):
        stem = f"{split}/{city}/{city}_000000_000019"
        save(tmp_path / f"leftImg8bit/{stem}_leftImg8bit.png", 0)
        save(tmp_path / f"gtFine/{stem}_gtFine_labelIds.png", [[7, 33, 0], [34, 255, 26]])
        save(tmp_path / f"gtFine/{stem}_gtFine_instanceIds.png", [[7, 33, 0], [6, 5, 26]])
        save(tmp_path / f"gtFine/{stem}_gtFine_color.png", 200)
    save(tmp_path / "leftImg8bit/test/berlin/berlin_000000_000019_leftImg8bit.png", 0)
    return tmp_path


def test_ade20k_is_shifted_by_one_and_0_is_ignored(ade20k: Path) -> None:
    splits = opened(ade20k)
    assert len(splits.classes) == len(set(splits.classes)) == 150
    assert splits.classes[0] == "wall"
    assert splits.classes[12] == "person"
    assert splits.classes[149] == "flag"
    for source in (splits.train, splits.test):
        masks = source.masks(0)
        assert masks.classes.tolist() == [[255, 0, 149], [12, 12, 255]]
        assert masks.instances.tolist() == [[0, 1, 3], [2, 2, 0]]
    assert splits.train.name(0) == "images/training/ADE_train_00000001.jpg"
    assert splits.test.name(0) == "images/validation/ADE_val_00000001.jpg"
    assert opened(ade20k.parent).test.name(0) == splits.test.name(0)


def test_ade20k_knows_150_classes(ade20k: Path, save: Save) -> None:
    save(ade20k / "annotations/validation/ADE_val_00000001.png", [[0, 1, 151], [0, 0, 0]])
    with pytest.raises(DataError, match="holds the value 151, which stands for no class"):
        opened(ade20k)


def test_voc_counts_its_background_and_not_255(voc: Path) -> None:
    splits = opened(voc)
    assert splits.classes[:2] == ("background", "aeroplane")
    assert (len(splits.classes), splits.classes[15], splits.classes[20]) == (
        21, "person", "tvmonitor",
    )  # fmt: skip
    assert (len(splits.train), len(splits.test)) == (2, 1)
    assert splits.test.name(0) == "JPEGImages/2007_000033.jpg"
    masks = splits.test.masks(0)
    assert masks.classes.tolist() == [[0, 15, 255], [15, 1, 20]]
    assert masks.instances.tolist() == [[0, 1, 0], [2, 3, 4]]
    for folder in (voc.parent, voc.parent.parent):
        assert opened(folder).train.name(1) == "JPEGImages/2007_000039.jpg"


def test_voc_without_objects_takes_a_class_for_one(voc: Path) -> None:
    (voc / "SegmentationObject").rename(voc / "elsewhere")
    assert opened(voc).test.masks(0).instances.tolist() == [[0, 2, 0], [2, 1, 3]]


def test_cityscapes_has_19_classes(cityscapes: Path) -> None:
    splits = opened(cityscapes)
    assert len(splits.classes) == 19
    assert splits.classes[::6] == ("road", "traffic light", "rider", "bicycle")
    assert (len(splits.train), len(splits.test)) == (2, 1)
    masks = splits.test.masks(0)
    assert masks.classes.tolist() == [[0, 18, 255], [255, 255, 13]]
    assert masks.instances.tolist() == [[1, 3, 0], [0, 0, 2]]


def test_cityscapes_by_its_training_numbers(cityscapes: Path, save: Save) -> None:
    for file in sorted(cityscapes.rglob("*_labelIds.png")):
        save(Path(str(file).replace("labelIds", "labelTrainIds")), [[0, 18, 255], [19, 254, 13]])
        file.unlink()
    masks = opened(cityscapes).test.masks(0)
    assert masks.classes.tolist() == [[0, 18, 255], [255, 255, 13]]


def test_cityscapes_by_all_its_raw_labels(cityscapes: Path) -> None:
    splits = opened(cityscapes, raw_labels=True)
    assert len(splits.classes) == len(set(splits.classes)) == 33
    assert (splits.classes[0], splits.classes[6], splits.classes[32]) == (
        "ego vehicle", "road", "bicycle",
    )  # fmt: skip
    assert splits.test.masks(0).classes.tolist() == [[6, 32, 255], [255, 255, 25]]
    assert len(splits.train) == 2
    for file in sorted(cityscapes.rglob("*_labelIds.png")):
        file.rename(str(file).replace("labelIds", "labelTrainIds"))
    with pytest.raises(DataError, match="no mask"):
        opened(cityscapes, raw_labels=True)


@pytest.mark.parametrize(
    ("data", "lost", "message"),
    [
        ("ade20k", "images/validation/ADE_val_00000001.jpg", "no pictures in"),
        ("ade20k", "annotations/training/ADE_train_00000001.png", "no mask in"),
        ("voc", "ImageSets/Segmentation/val.txt", "val.txt does not exist"),
        ("voc", "SegmentationClass/2007_000039.png", "2007_000039.png does not exist"),
        ("voc", "JPEGImages/2007_000039.jpg", "2007_000039.jpg does not exist"),
        ("cityscapes", "leftImg8bit/val/munster/munster_000000_000019_leftImg8bit.png", "no pict"),
        ("cityscapes", "gtFine/val/munster/munster_000000_000019_gtFine_labelIds.png", "no mask"),
    ],
)
def test_what_is_missing_is_named_with_the_tree(
    request: pytest.FixtureRequest, data: str, lost: str, message: str
) -> None:
    root = request.getfixturevalue(data)
    (root / lost).unlink()
    with pytest.raises(DataError, match=message) as caught:
        opened(root)
    trees = {
        "ade20k": "ADEChallengeData2016/annotations/training/*.png",
        "voc": "VOCdevkit/VOC2012/SegmentationClass/*.png",
        "cityscapes": "gtFine/{train,val}/CITY/*_gtFine_labelIds.png",
    }
    assert trees[data] in str(caught.value)


def test_sizes_must_agree(voc: Path, save: Save) -> None:
    save(voc / "SegmentationClass/2007_000033.png", [[0, 1], [1, 0]])
    with pytest.raises(UnreadableImage, match=r"it is 2 x 2, but its picture .* is 3 x 2"):
        opened(voc)
