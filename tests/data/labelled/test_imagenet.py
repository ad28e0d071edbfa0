"""ImageNet as ILSVRC: training folders, flat validation pictures, their classes beside them."""

from pathlib import Path

import pytest
from PIL import Image

from stellar.data import DataError, Splits, open_labelled

TRUTH = {"00000001": "n02", "00000002": "n01", "00000003": "n01"}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The pictures alone."""
    pictures = tmp_path / "ILSVRC/Data/CLS-LOC"
    names = [f"train/{wnid}/{wnid}_{n}.JPEG" for wnid in ("n01", "n02") for n in (7, 11)]
    names += [f"val/ILSVRC2012_val_{number}.JPEG" for number in TRUTH]
    for name in [*names, "test/ILSVRC2012_test_00000001.JPEG"]:
        (pictures / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4)).save(pictures / name, format="JPEG")
    return tmp_path


def annotate(root: Path) -> None:
    folder = root / "ILSVRC/Annotations/CLS-LOC/val"
    folder.mkdir(parents=True)
    for number, wnid in TRUTH.items():
        box = "<bndbox><xmin>1</xmin><ymin>2</ymin><xmax>3</xmax><ymax>4</ymax></bndbox>"
        (folder / f"ILSVRC2012_val_{number}.xml").write_text(
            f"<annotation><folder>val</folder><filename>ILSVRC2012_val_{number}</filename>"
            f"<object><name>{wnid}</name>{box}</object><object><name>{wnid}</name>{box}</object>"
            "</annotation>"
        )


def solve(root: Path) -> Path:
    path = root / "LOC_val_solution.csv"
    rows = [f"ILSVRC2012_val_{n},{w} 85 1 499 272 {w} 1 2 3 4 \n" for n, w in TRUTH.items()]
    path.write_text("ImageId,PredictionString\n" + "".join(reversed(rows)))
    return path


def check(splits: Splits) -> None:
    assert splits.classes == ("n01", "n02")
    assert [splits.train.name(i) for i in (0, 3)] == [
        "train/n01/n01_11.JPEG",
        "train/n02/n02_7.JPEG",
    ]
    assert splits.train.labels.tolist() == [0, 0, 1, 1]
    assert [splits.test.name(i)[-13:-5] for i in range(3)] == list(TRUTH)
    assert splits.test.labels.tolist() == [1, 0, 0]
    assert splits.test.read(2).shape == (3, 4, 4)
    assert not splits.multi_label


def test_classes_from_annotations(root: Path) -> None:
    annotate(root)
    check(open_labelled(root))
    check(open_labelled(root / "ILSVRC"))


def test_classes_from_the_table(root: Path) -> None:
    solve(root)
    check(open_labelled(root))
    check(open_labelled(root / "ILSVRC"))


def test_validation_pictures_in_class_folders(root: Path) -> None:
    val = root / "ILSVRC/Data/CLS-LOC/val"
    for number, wnid in TRUTH.items():
        (val / wnid).mkdir(exist_ok=True)
        (val / f"ILSVRC2012_val_{number}.JPEG").rename(val / wnid / f"{number}.JPEG")
    assert open_labelled(root).test.labels.tolist() == [0, 0, 1]


def test_numbers_of_the_development_kit_are_not_guessed_at(root: Path) -> None:
    (root / "ILSVRC2012_validation_ground_truth.txt").write_text("490\n361\n171\n")
    with pytest.raises(DataError, match=r"no classes of these pictures.*00000001\.JPEG") as caught:
        open_labelled(root)
    assert "meta.mat" in str(caught.value)
    assert "LOC_val_solution.csv" in str(caught.value)


def test_what_cannot_be_read_is_one_sentence(root: Path) -> None:
    annotate(root)
    file = root / "ILSVRC/Annotations/CLS-LOC/val/ILSVRC2012_val_00000002.xml"
    for text, message in (("<annotation>", "cannot be read as XML"), ("<a/>", "names no object")):
        file.write_text(text)
        with pytest.raises(DataError, match=message):
            open_labelled(root)
    file.unlink()
    with pytest.raises(DataError, match=r"no classes of these pictures .*val: ILSVRC2012_val_0+2"):
        open_labelled(root)
    path = solve(root)
    for text in (
        "id,label\na,b\n",
        "ImageId,PredictionString\na,\n",
        "ImageId,PredictionString\na\n",
    ):
        path.write_text(text)
        with pytest.raises(DataError, match=r"must have the columns ImageId,PredictionString"):
            open_labelled(root)
    for picture in (root / "ILSVRC/Data/CLS-LOC/val").iterdir():
        picture.unlink()
    solve(root)
    with pytest.raises(DataError, match=r"no pictures in .*val; expected"):
        open_labelled(root)
