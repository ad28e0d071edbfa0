"""ImageNet as the challenge (ILSVRC) hands it out: training pictures in a folder for each class,
validation pictures in one, their classes in a table or in an XML file each.
"""

import csv
from pathlib import Path
from xml.etree import ElementTree

from stellar.data.folder import DataError
from stellar.data.labelled.listing import LabelsOf, some

PICTURES = Path("Data/CLS-LOC")
SOLUTION = "LOC_val_solution.csv"
ANNOTATIONS = Path("Annotations/CLS-LOC/val")
GROUND_TRUTH = "ILSVRC2012_validation_ground_truth.txt"
TREE = f"""
  FOLDER/ILSVRC/{PICTURES}/train/nXXXXXXXX/*.JPEG and FOLDER/ILSVRC/{PICTURES}/val/*.JPEG, with
  FOLDER/{SOLUTION} or FOLDER/ILSVRC/{ANNOTATIONS}/*.xml"""


def ilsvrc_folder(folder: Path) -> Path | None:
    """The folder ILSVRC, which this one is or holds."""
    return next((f for f in (folder, folder / "ILSVRC") if (f / PICTURES).is_dir()), None)


def list_validation(ilsvrc: Path) -> LabelsOf:
    """The classes of the validation pictures that lie in one folder, by their path below PICTURES.

    Raises DataError where a picture has none.
    """
    pictures = sorted((ilsvrc / PICTURES / "val").glob("*.JPEG"))
    tables = [f for f in (ilsvrc / SOLUTION, ilsvrc.parent / SOLUTION) if f.is_file()]
    if tables:
        class_of = _read_solution(tables[0])
    else:
        class_of = {file.stem: _read_annotation(file) for file in _annotations(ilsvrc)}
    if missing := {file.name for file in pictures} - {f"{name}.JPEG" for name in class_of}:
        raise DataError(
            f"no classes of these pictures of {ilsvrc / PICTURES}/val: {some(missing)}; "
            f"expected ImageNet as{TREE}\n({GROUND_TRUTH} does not do: it numbers the classes "
            "as the development kit's meta.mat does, not in the order of their folders)"
        )
    return {bytes(Path("val", file.name)): (class_of[file.stem],) for file in pictures}


def _annotations(ilsvrc: Path) -> list[Path]:
    return sorted((ilsvrc / ANNOTATIONS).glob("*.xml"))


def _read_solution(path: Path) -> dict[str, str]:
    """Rows of a picture's name and its boxes, each a class and four numbers; the first one's."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file)
            return {row["ImageId"]: row["PredictionString"].split()[0] for row in rows}
    except (KeyError, IndexError, AttributeError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(
            f"{path} must have the columns ImageId,PredictionString, a class in each row"
        ) from error


def _read_annotation(path: Path) -> str:
    """The class of the first object."""
    try:
        name = ElementTree.parse(path).findtext("object/name")
    except ElementTree.ParseError as error:
        raise DataError(f"{path} cannot be read as XML ({error})") from error
    if not name:
        raise DataError(f"{path} names no object")
    return name.strip()
