"""Labelled pictures: the three layouts, and a sentence with the expected trees for any other."""

import hashlib
import shutil
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stellar.data import DataError, ImageSource, LabelledImages, Splits, open_labelled


def fill(root: Path, names: list[str]) -> Path:
    """Small pictures, each of its own grey."""
    for number, name in enumerate(names):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((6, 8, 3), number, np.uint8)).save(path, format="PNG")
    return root


def named(images: LabelledImages, splits: Splits) -> dict[str, str]:
    """The class of each name."""
    labels = images.labels.tolist()
    return {images.name(index): splits.classes[label] for index, label in enumerate(labels)}


def table(root: Path, text: str, encoding: str = "utf-8") -> Path:
    root.mkdir(exist_ok=True)
    path = root / "labels.csv"
    path.write_text(text, encoding=encoding)
    return path


GIVEN = ["train/dog/a.png", "train/cat/x/b.JPG", "train/cat/c.png", "val/cat/d.png"]


@pytest.mark.parametrize("held_out", ["val", "validation", "test"])
def test_train_and_val_with_a_folder_per_class(tmp_path: Path, held_out: str) -> None:
    names = [name.replace("val/", f"{held_out}/") for name in [*GIVEN, "val/dog/a.png"]]
    splits = open_labelled(fill(tmp_path, names))
    assert splits.classes == ("cat", "dog")
    assert named(splits.train, splits) == {
        "train/cat/c.png": "cat", "train/cat/x/b.JPG": "cat", "train/dog/a.png": "dog",
    }  # fmt: skip
    assert named(splits.test, splits) == {
        f"{held_out}/cat/d.png": "cat", f"{held_out}/dog/a.png": "dog",
    }  # fmt: skip
    assert held_out in splits.description
    assert isinstance(splits.train, ImageSource)
    assert splits.train.labels.dtype == np.int64
    for images in (splits.train, splits.test):
        for index in range(len(images)):
            assert (images.read(index) == names.index(images.name(index))).all()


def test_val_goes_before_a_test_folder_without_classes(tmp_path: Path) -> None:
    """As ImageNet comes: the labels of its test set are secret."""
    splits = open_labelled(fill(tmp_path, [*GIVEN, "val/dog/a.png", "test/1.png", "test/2.png"]))
    assert {name.split("/")[0] for name in named(splits.test, splits)} == {"val"}


def test_a_fifth_of_each_class_is_set_aside(tmp_path: Path) -> None:
    sizes = {"few": 2, "some": 10, "many": 31}
    files = [f"{label}/{number}.png" for label, size in sizes.items() for number in range(size)]
    splits = open_labelled(fill(tmp_path / "a", files))
    train, test = named(splits.train, splits), named(splits.test, splits)
    assert sorted([*train, *test]) == sorted(files)
    for label, expected in {"few": 1, "some": 2, "many": 6}.items():
        assert list(test.values()).count(label) == expected
    assert all(name.startswith(f"{label}/") for name, label in (train | test).items())
    assert "a fifth of each class" in splits.description
    # The choice depends on the names alone, not on the place, the order or other classes.
    shutil.rmtree(tmp_path / "a/few")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    fill(tmp_path / "b", ["other/1.png", "other/2.png"])
    again = open_labelled(tmp_path / "b")
    kept = {name for name in test if "few" not in name}
    assert kept == {name for name in named(again.test, again) if "other" not in name}
    # What `printf some/N.png | sha256sum` sorts first.
    assert {name for name in test if "some" in name} == {"some/1.png", "some/6.png"}


def test_a_class_called_train_is_a_class(tmp_path: Path) -> None:
    names = [f"{label}/{number}.png" for label in ("bus", "train") for number in range(2)]
    assert open_labelled(fill(tmp_path, names)).classes == ("bus", "train")


def test_a_table_with_splits(tmp_path: Path) -> None:
    fill(tmp_path / "photos", ["a.png", "b.png", "c.png", "ü, d.png"])
    text = 'label, path, split\n"x", photos/a.png, train\ny, photos/b.png, train\n'
    text += 'y, photos//c.png, val\nx, "photos/ü, d.png", val\n'
    path = table(tmp_path, text, encoding="utf-8-sig")
    splits = open_labelled(path)
    assert named(splits.train, splits) == {"photos/a.png": "x", "photos/b.png": "y"}
    assert named(splits.test, splits) == {"photos/c.png": "y", "photos/ü, d.png": "x"}
    assert (splits.test.read(1) == 3).all()


def test_a_table_without_splits_agrees_with_the_folder(tmp_path: Path) -> None:
    names = [f"{label}/{number}.png" for label in "xy" for number in range(12)]
    fill(tmp_path, names)
    path = table(tmp_path, "path,label\n" + "".join(f"{name},{name[0]}\n" for name in names[::-1]))
    one, other = open_labelled(path), open_labelled(tmp_path)
    assert one.classes == other.classes
    for images, others in ((one.train, other.train), (one.test, other.test)):
        assert named(images, one) == named(others, other)
        assert (images.labels == others.labels).all()


def test_arrays_count_where_a_model_is_not_for_rgb(tmp_path: Path) -> None:
    for name in ("x/1", "x/2", "y/1", "y/2"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        np.save(tmp_path / f"{name}.npy", np.zeros((6, 8, 5), np.uint16))
    assert open_labelled(tmp_path, channels=5).train.read(0).shape == (5, 6, 8)
    with pytest.raises(DataError, match=r"no pictures in these folders of .*: x, y"):
        open_labelled(tmp_path)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "no pictures in "),
        (["a.png", "cat/b.png"], "pictures outside of class folders, as a.png"),
        ([*GIVEN, "val/b.png"], "val holds pictures outside of class folders, as b.png"),
        (["train/cat/a.png", "train/dog/a.png"], "holds train alone"),
        (["val/cat/a.png", "test/dog/a.png"], "holds test, val alone"),
        (["cat/a.png", "cat/b.png"], "one class alone, cat"),
        (["cat/a.png", "cat/b.png", "dog/a.txt"], "no pictures in these folders of .*: dog"),
    ],
)
def test_a_wrong_layout_shows_the_right_ones(
    tmp_path: Path, names: list[str], message: str
) -> None:
    fill(tmp_path, names)
    with pytest.raises(DataError, match=message) as caught:
        open_labelled(tmp_path)
    text = str(caught.value)
    assert str(tmp_path) in text
    for tree in (
        "FOLDER/train/CLASS/*.jpg",
        "FOLDER/val/CLASS/*.jpg",
        "FOLDER/CLASS",
        "path,label",
    ):
        assert tree in text


def test_a_missing_path_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(
        DataError,
        match=r"nowhere does not exist; .* the embedded ones$",
    ):
        open_labelled(tmp_path / "nowhere")


def test_classes_that_differ_are_named(tmp_path: Path) -> None:
    fill(tmp_path, [*GIVEN, "val/bird/e.png"])
    with pytest.raises(DataError, match=r"same classes, but val has none of dog$"):
        open_labelled(tmp_path)
    fill(tmp_path, ["val/dog/e.png"])
    with pytest.raises(DataError, match=r"same classes, but train has none of bird$"):
        open_labelled(tmp_path)
    for number in range(6):
        fill(tmp_path, [f"train/{number}/a.png"])
    with pytest.raises(DataError, match="val has none of 0, 1, 2, 3, 4 and 1 more"):
        open_labelled(tmp_path)


def test_a_class_of_one_picture_cannot_be_divided(tmp_path: Path) -> None:
    fill(tmp_path, ["cat/a.png", "cat/b.png", "dog/a.png"])
    with pytest.raises(DataError, match="class dog has one picture; at least 2"):
        open_labelled(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has the columns none; expected"),
        ("file,class\na.png,x\n", "has the columns file,class; expected"),
        ("path;label\na.png;x\n", "has the columns path;label; separate them by commas; expected"),
        ("path\tlabel\n", "has the columns path\tlabel; separate them by commas; expected"),
        ("Path,Label\n", "columns Path,Label; write path,label in small letters, without spaces;"),
        (
            "path ,label\n",
            "columns path ,label; write path,label in small letters, without spaces;",
        ),
        ("path,label\n", "has no rows"),
        ("path,label\na.png,x\nz.png,y\n", r"line 3: z.png is no file; paths are relative to"),
        ("path,label\na.png,x\nz\0.png,y\n", r"line 3: z\\x00\.png is no file"),
        ("path,label\na.png,x\n,y\n", r"line 3: \. is no file"),
        ("path,label\na.png,x\nb.png\n", r"line 3: b.png has no label"),
        ("path,label\na.png,x\n./a.png,y\n", r"line 3: a.png was there before"),
        ("path,label\na.png,x\nc/../a.png,y\n", r"line 3: c/../a.png was there before"),
        ('path,label\na.png,x\nb.png,"x"y\n', r"as a CSV file \(.*\); the row at line 3"),
        ("path,label\na.png,x, y\n", "line 2: it has more cells than the header .* put quotes"),
        ("path,label,split\na.png,x,dev\n", "line 2: the split must be one of train.*, got dev"),
        ("path,label,split\na.png,x,\n", "line 2: the split must be one of train.*, got none"),
        ("path,label,split\na.png,x,train\nb.png,y,train\n", "has train alone"),
        ('path,label\n"a.png,x\n', r"cannot be read as a CSV file \(.*\); the row at line 2"),
    ],
)
def test_a_wrong_table_is_one_sentence(tmp_path: Path, text: str, message: str) -> None:
    fill(tmp_path, ["a.png", "b.png", "c/d.png"])
    path = table(tmp_path, text)
    with pytest.raises(DataError, match=message) as caught:
        open_labelled(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("composed_on_disk", [True, False])
def test_accents_in_a_table_and_on_the_disk_may_be_written_differently(
    tmp_path: Path, composed_on_disk: bool
) -> None:
    """As macOS and Linux do."""
    forms = unicodedata.normalize("NFC", "é.png"), unicodedata.normalize("NFD", "é.png")
    on_disk, in_table = forms if composed_on_disk else forms[::-1]
    fill(tmp_path, [on_disk, "b.png", "c.png", "d.png"])
    rows = f"path,label\n{in_table},x\nb.png,x\nc.png,y\nd.png,y\n"
    splits = open_labelled(table(tmp_path, rows))
    found = {part.name(i) for part in (splits.train, splits.test) for i in range(len(part))}
    assert on_disk in found


def test_a_picture_is_no_table(tmp_path: Path) -> None:
    fill(tmp_path, ["a.png"])
    with pytest.raises(DataError, match="as a CSV file: it is no text in UTF-8; save it as such"):
        open_labelled(tmp_path / "a.png")


def test_several_labels_in_a_cell_are_a_row_of_a_matrix(tmp_path: Path) -> None:
    fill(tmp_path, ["a.png", "b.png", "c.png", "d.png", "e.png"])
    rows = "a.png,dog;cat,train\nb.png, bird ;cat;cat,train\nc.png,,train\n"
    splits = open_labelled(table(tmp_path, f"path,label,split\n{rows}d.png,cat,val\ne.png,;,val\n"))
    assert splits.multi_label
    assert splits.classes == ("bird", "cat", "dog")
    assert splits.train.labels.dtype == np.bool_
    assert splits.train.labels.tolist() == [
        [False, True, True], [True, True, False], [False, False, False],
    ]  # fmt: skip
    assert splits.test.labels.tolist() == [[False, True, False], [False, False, False]]


def test_classes_of_several_labels_must_be_learned_but_need_not_be_tested(tmp_path: Path) -> None:
    fill(tmp_path, ["a.png", "b.png"])
    header = "path,label,split\na.png,dog;cat,train\n"
    with pytest.raises(DataError, match=r"same classes, but train has none of bird$"):
        open_labelled(table(tmp_path, header + "b.png,cat;bird,val\n"))
    with pytest.raises(DataError, match=r"same classes, but val has none of cat, dog$"):
        open_labelled(table(tmp_path, header + "b.png,,val\n"))


def test_a_fifth_of_pictures_with_several_labels(tmp_path: Path) -> None:
    """No class loses its last picture, though `rare` would come first by its hash."""
    names = [f"{number}.png" for number in range(20)]
    fill(tmp_path, names)
    ranked = sorted(names, key=lambda name: hashlib.sha256(name.encode()).digest())
    labels = {name: "cat;dog" if name in ranked[::2] else "cat" for name in names}
    labels[ranked[0]] = "cat;rare"
    splits = open_labelled(
        table(tmp_path, "path,label\n" + "".join(f"{n},{label}\n" for n, label in labels.items()))
    )
    tested = {splits.test.name(index) for index in range(len(splits.test))}
    assert tested == set(ranked[1:5])
    assert splits.train.labels.any(axis=0).all()
    assert "a fifth of all" in splits.description
    with pytest.raises(DataError, match="too few labelled pictures to set a fifth of them aside"):
        open_labelled(table(tmp_path, "path,label\n0.png,cat;dog\n1.png,\n"))
