"""COCO 2017 as it is published: its panoptic annotations where they are there, else its instances.

Both know objects; panoptic ones do not overlap, and say what lies around them as well.
"""

from pathlib import Path

from stellar.data.folder import DataError
from stellar.data.labelled.coco_instances import open_instances
from stellar.data.labelled.coco_json import (
    SPLITS,
    AnnotationFile,
    read_annotations,
    require_pictures,
)
from stellar.data.labelled.coco_panoptic import open_panoptic
from stellar.data.labelled.listing import that_holds
from stellar.data.labelled.masked import MaskedSplits

ANNOTATIONS, PANOPTIC, INSTANCES = "annotations", "panoptic", "instances"
TREE = """ COCO as
  FOLDER/train2017/*.jpg and FOLDER/val2017/*.jpg, with
  FOLDER/annotations/panoptic_train2017.json, FOLDER/annotations/panoptic_train2017/*.png and the
  same for val2017 (the folders of PNG files may also lie in FOLDER), or with
  FOLDER/annotations/instances_train2017.json and FOLDER/annotations/instances_val2017.json"""


def coco_folder(folder: Path) -> Path | None:
    """The folder with annotations of COCO's, which this one is or holds."""
    root = that_holds(ANNOTATIONS, folder, folder / "coco")
    kinds = (PANOPTIC, INSTANCES)
    named = root and any(_file(root, kind, split).is_file() for kind in kinds for split in SPLITS)
    return root if named else None


def open_coco(root: Path, channels: int = 3) -> MaskedSplits:
    """Its training and validation set. Raises DataError, with the expected tree, for what lacks."""
    masks = [_panoptic_masks(root, split) for split in SPLITS]
    if all(masks) and _are_there(root, PANOPTIC):
        folders = tuple(folder for folder in masks if folder)
        return open_panoptic(root, _annotations(root, PANOPTIC), folders, channels)
    if _are_there(root, INSTANCES):
        return open_instances(root, _annotations(root, INSTANCES), channels)
    raise DataError(
        f"{root} has neither the panoptic annotations of both train2017 and val2017, with their "
        f"PNG files, nor the instances of both; expected{TREE}"
    )


def _file(root: Path, kind: str, split: str) -> Path:
    return root / ANNOTATIONS / f"{kind}_{split}.json"


def _are_there(root: Path, kind: str) -> bool:
    return all(_file(root, kind, split).is_file() for split in SPLITS)


def _panoptic_masks(root: Path, split: str) -> Path | None:
    """Where the PNG files of a split are, relative to the root."""
    name = f"{PANOPTIC}_{split}"
    places = (Path(ANNOTATIONS, name), Path(name))
    return next((place for place in places if (root / place).is_dir()), None)


def _annotations(root: Path, kind: str) -> tuple[AnnotationFile, ...]:
    """Of both splits, whose pictures are there."""
    files = tuple(read_annotations(_file(root, kind, split)) for split in SPLITS)
    for file, split in zip(files, SPLITS, strict=True):
        require_pictures(file, root / split)
    return files
