"""Pictures and masks under the same names, with and without a test set of their own."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from stellar.config import ModelConfig
from stellar.data import IGNORED, DataError, ImageSource, MaskedSource, MaskedSplits, open_data

Save = Callable[..., Path]
MASK = [[0, 1, 3], [255, 1, 0]]


def opened(root: Path) -> MaskedSplits:
    splits = open_data(root, ModelConfig())
    assert isinstance(splits, MaskedSplits)
    return splits


def names(source: MaskedSource) -> list[str]:
    return [source.name(index) for index in range(len(source))]


@pytest.mark.parametrize("layout", ["{split}/{kind}", "{kind}/{split}"])
@pytest.mark.parametrize("held_out", ["val", "validation", "test"])
def test_train_and_val(tmp_path: Path, save: Save, layout: str, held_out: str) -> None:
    for number, (split, name) in enumerate(
        [("train", "a"), ("train", "b/c"), (held_out, "d"), (held_out, "b/a")]
    ):
        kinds = (layout.format(split=split, kind=kind) for kind in ("images", "masks"))
        images, masks = (tmp_path / kind for kind in kinds)
        save(images / f"{name}.jpg", number)
        save(masks / f"{name}.png", [[number, 1, 3], [255, 1, 0]])
    splits = opened(tmp_path)
    assert isinstance(splits.train, ImageSource)
    assert isinstance(splits.train, MaskedSource)
    assert splits.classes == ("background", "1", "2", "3")
    assert held_out in splits.description
    assert [Path(name).stem for name in names(splits.train)] == ["a", "c"]
    assert [Path(name).stem for name in names(splits.test)] == ["a", "d"]
    for source, numbers in ((splits.train, (0, 1)), (splits.test, (3, 2))):
        for index, number in enumerate(numbers):  # picture and mask belong together
            assert source.read(index).unique().tolist() == [number]
            assert source.masks(index).classes[0, 0] == number
    masks = splits.train.masks(0)
    assert masks.classes.tolist() == [[0, 1, 3], [IGNORED, 1, 0]]
    assert masks.instances.tolist() == [[0, 1, 2], [0, 1, 0]]


def test_a_fifth_is_set_aside_by_hash(tmp_path: Path, save: Save) -> None:
    for number in range(10):
        save(tmp_path / f"images/{number}.jpg", number)
        save(tmp_path / f"masks/{number}.png", MASK)
    splits = opened(tmp_path)
    assert len(splits.train) == 8
    # What `printf images/N.jpg | sha256sum` sorts first.
    expected = sorted(
        (f"images/{n}.jpg" for n in range(10)), key=lambda p: hashlib.sha256(p.encode()).digest()
    )[:2]
    assert names(splits.test) == sorted(expected)
    assert not set(names(splits.train)) & set(names(splits.test))
    assert "a fifth of all" in splits.description


def test_masks_that_number_objects_get_a_note(tmp_path: Path, save: Save) -> None:
    """Without a gap in each of ten masks, up to one of four numbers; one class that stands alone,
    or names of the classes, say that they are classes.
    """
    for number in range(10):
        save(tmp_path / f"images/{number}.jpg", number)
        held = [0, 255, *(min(value, 1 + number % 4) for value in range(1, 5))]
        save(tmp_path / f"masks/{number}.png", [held[:3], held[3:]])
    (note,) = opened(tmp_path).notes
    assert note.startswith("each mask holds 1 to k without a gap, k from 1 to 4, as where")
    (tmp_path / "classes.txt").write_text("ground\nsky\nsea\nbird\ntree")
    assert not opened(tmp_path).notes
    (tmp_path / "classes.txt").unlink()
    save(tmp_path / "masks/9.png", [[0, 2, 2], [0, 0, 0]])
    assert not opened(tmp_path).notes


@pytest.mark.parametrize(("masks", "counts"), [(9, 4), (20, 3)])
def test_few_masks_or_counts_may_be_of_classes(
    tmp_path: Path, save: Save, masks: int, counts: int
) -> None:
    for number in range(masks):
        held = [min(value, 1 + number % counts) for value in range(6)]
        save(tmp_path / f"images/{number}.jpg", number)
        save(tmp_path / f"masks/{number}.png", [held[:3], held[3:]])
    assert not opened(tmp_path).notes


def test_names_of_the_classes(tmp_path: Path, save: Save) -> None:
    """Where the first is not called background, it is an object like the others."""
    for number in range(2):
        save(tmp_path / f"images/{number}.jpg", number)
        save(tmp_path / f"masks/{number}.png", MASK)
    (tmp_path / "classes.txt").write_text("sky\nsea\n bird \ntree\nrock\n", "utf-8-sig")
    splits = opened(tmp_path)
    assert splits.classes == ("sky", "sea", "bird", "tree", "rock")
    assert splits.train.masks(0).instances.tolist() == [[1, 2, 3], [0, 2, 1]]
    (tmp_path / "classes.txt").write_text("sky\nsea\nbird\n")
    with pytest.raises(DataError, match=r"holds the value 3, which .* one of 0, 1, 2, 255$"):
        opened(tmp_path)
    for text in ("sky\n\nsea\n", "sky\nsky\n", "sky\n", "\n".join(map(str, range(256)))):
        (tmp_path / "classes.txt").write_text(text)
        with pytest.raises(DataError, match=r"classes.txt must name 2 to 255 different classes"):
            opened(tmp_path)


def test_black_and_white_masks_are_explained(tmp_path: Path, save: Save) -> None:
    for number in range(2):
        save(tmp_path / f"images/{number}.jpg", number)
        save(tmp_path / f"masks/{number}.png", [[0, 255, 0], [0, 0, 0]])
    expected = r"hold 0 and 255 alone, but 255 marks what is not counted"
    with pytest.raises(DataError, match=expected):
        opened(tmp_path)
    (tmp_path / "classes.txt").write_text("ground\ncat\n")
    with pytest.raises(DataError, match=expected):
        opened(tmp_path)
    save(tmp_path / "masks/1.png", [[0, 255, 1], [0, 0, 0]])
    assert opened(tmp_path).classes == ("ground", "cat")


def test_masks_of_one_class_are_explained(tmp_path: Path, save: Save) -> None:
    for number in range(2):
        save(tmp_path / f"images/{number}.jpg", number)
        save(tmp_path / f"masks/{number}.png", [[0, 0, 0], [0, 0, 0]])
    with pytest.raises(DataError, match="hold 0 alone, which is one class, but at least 2 are"):
        opened(tmp_path)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (["images/a.jpg", "images/b.jpg", "masks/a.png"], "no mask in .* files of .*images: b;"),
        (["images/a.jpg", "masks/a.png", "masks/b.png"], "no picture in .* files of .*masks: b;"),
        (["masks/a.png"], "no pictures in .*images"),
        (["images/a.jpg", "masks/a.jpg"], "no mask in .* files of .*images: a;"),
        (["train/images/a.jpg", "train/masks/a.png"], "holds masks of train alone"),
        (["images/train/a.jpg", "masks/train/a.png", "images/val/b.jpg"], "masks of train alone"),
    ],
)  # fmt: skip
def test_a_wrong_layout_shows_the_right_ones(
    tmp_path: Path, save: Save, files: list[str], message: str
) -> None:
    for name in files:
        save(tmp_path / name, 0 if "images" in name else MASK)
    with pytest.raises(DataError, match=message) as caught:
        opened(tmp_path)
    for tree in ("FOLDER/train/images/NAME.jpg", "FOLDER/masks/NAME.png", "classes.txt"):
        assert tree in str(caught.value)


def test_two_pictures_of_one_name_and_a_lone_one(tmp_path: Path, save: Save) -> None:
    save(tmp_path / "images/a.jpg", 0)
    save(tmp_path / "masks/a.png", MASK)
    with pytest.raises(DataError, match="holds one picture; at least 2"):
        opened(tmp_path)
    save(tmp_path / "images/a.png", 0)
    with pytest.raises(DataError, match="holds several files that are called a"):
        opened(tmp_path)
