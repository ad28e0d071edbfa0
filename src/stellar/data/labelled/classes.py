"""Pictures with classes, in a training and a test set: what classification is measured on.

Either a folder with train/ and val/ and in both a folder per class; or a folder per class alone, of
which a fifth is set aside; or ImageNet as its challenge hands it out; or a CSV file of paths and
labels, where a picture may have several.
"""

import hashlib
import os
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Int64

from stellar.data.folder import DataError, ImageFiles, extensions_of, printable
from stellar.data.folderindex import walk
from stellar.data.labelled import imagenet
from stellar.data.labelled.csv_table import NoTable, read_table
from stellar.data.labelled.listing import (
    HELD_OUT,
    TRAIN,
    LabelsOf,
    by_hash,
    fifth,
    held_out_name,
    some,
    subfolders,
)

TREE = f"""
  FOLDER/train/CLASS/*.jpg and FOLDER/val/CLASS/*.jpg (or validation/, or test/), or
  FOLDER/CLASS/*.jpg, where a fifth of each class becomes the test set, or
  FILE.csv with the columns path,label or path,label,split (train, val, validation, test), a label
  being "cat", or "cat;dog" where pictures have several, or ImageNet as{imagenet.TREE}
or pictures with masks as
  FOLDER/images/*.jpg and FOLDER/masks/*.png, or as ADE20K, Pascal VOC, Cityscapes, COCO, CLEVRTex
  or MOVi are published; docs/data.md shows each tree"""


class WrongLayout(DataError):
    """Pictures of which no labels are found; what is wrong, and the trees that are expected."""

    def __init__(self, problem: str) -> None:
        super().__init__(f"{problem}; expected labelled pictures as{TREE}")
        self.problem = problem
        """What is wrong alone."""


class LabelledImages(ImageFiles):
    """Picture files below `root`, sorted by path, with the places of their classes in `classes`."""

    labels: Int64[np.ndarray, " N"] | Bool[np.ndarray, "N c"]
    """The class of each picture; where they may have several, whether it has each class."""

    def __init__(
        self,
        root: Path,
        labels_of: LabelsOf,
        classes: tuple[str, ...],
        channels: int = 3,
        multi_label: bool = False,
    ) -> None:
        paths = sorted(labels_of)
        super().__init__(root, paths, channels)
        places = {name: place for place, name in enumerate(classes)}
        if multi_label:
            self.labels = np.zeros((len(paths), len(classes)), np.bool_)
            for row, path in zip(self.labels, paths, strict=True):
                row[[places[label] for label in labels_of[path]]] = True
        else:
            self.labels = np.array([places[labels_of[path][0]] for path in paths], np.int64)

    def fingerprint(self) -> str:
        """Tells other labels apart as well."""
        return hashlib.sha256(super().fingerprint().encode() + self.labels.tobytes()).hexdigest()


@dataclass(frozen=True)
class Splits:
    """What is fitted on and what is tested on. Both hold at least one picture of each class; where
    pictures have several, the test set may lack some.
    """

    train: LabelledImages
    test: LabelledImages
    classes: tuple[str, ...]
    """Their names, sorted; a label is a place in here."""
    description: str
    """Where the two sets come from, in words."""

    @property
    def multi_label(self) -> bool:
        """Whether a picture may have several classes."""
        return self.test.labels.ndim == 2


def open_labelled(path: Path | str, channels: int = 3) -> Splits:
    """The labelled pictures of a folder or a CSV file, for a model of so many channels.

    Paths in a CSV file are relative to it. Where no test set is given, it is a fifth of each class
    (of all, where pictures have several), those with the smallest SHA-256 of their relative path:
    the same on every machine. Raises DataError with a sentence for anything else, and the trees
    that are expected, where something is there.
    """
    path, multi_label = Path(path), False
    if path.is_dir() and (ilsvrc := imagenet.ilsvrc_folder(path)):
        root = ilsvrc / imagenet.PICTURES
        listed = _list_ilsvrc(ilsvrc, extensions_of(channels))
    elif path.is_dir():
        root, listed = path, _list_folders(path, extensions_of(channels))
    elif path.exists():
        root = path.parent
        try:
            listed, multi_label = read_table(path)
        except NoTable as error:
            raise WrongLayout(str(error)) from error
    else:
        raise DataError(
            f"{path} does not exist; expected a folder or a CSV file of pictures with labels or "
            "masks (docs/data.md), or scenes, the embedded ones"
        )
    train, test, description = _two_sets(listed, path, multi_label)
    classes = tuple(sorted({label for labels in train.values() for label in labels}))
    if len(classes) < 2:
        raise WrongLayout(f"{path} has one class alone, {some(classes)}; at least 2 are needed")
    return Splits(
        LabelledImages(root, train, classes, channels, multi_label),
        LabelledImages(root, test, classes, channels, multi_label),
        classes,
        description,
    )


def _list_folders(root: Path, extensions: tuple[str, ...]) -> dict[str, LabelsOf]:
    """Paths and classes by split; the split's name is empty where a folder per class is all."""
    folders = subfolders(root)
    held_out = held_out_name(folders)
    if TRAIN in folders and held_out:
        return {split: _list_classes(root, split, extensions) for split in (TRAIN, held_out)}
    if folders and folders <= {TRAIN, *HELD_OUT}:
        raise WrongLayout(f"{root} holds {some(folders)} alone, not a training and a test set")
    return {"": _list_classes(root, "", extensions)}


def _list_ilsvrc(ilsvrc: Path, extensions: tuple[str, ...]) -> dict[str, LabelsOf]:
    """ImageNet's two sets; the validation pictures may also have been sorted into class folders."""
    root = ilsvrc / imagenet.PICTURES
    sorted_out = bool(subfolders(root / "val"))
    val = _list_classes(root, "val", extensions) if sorted_out else imagenet.list_validation(ilsvrc)
    if not val:
        raise WrongLayout(f"no pictures in {root / 'val'}")
    return {TRAIN: _list_classes(root, TRAIN, extensions), "val": val}


def _list_classes(root: Path, split: str, extensions: tuple[str, ...]) -> LabelsOf:
    folder, labels_of, found = root / split, {}, {}
    for path in walk(str(folder), extensions):
        class_folder, separator, _ = path.partition(os.sep)
        if not separator:
            raise WrongLayout(f"{folder} holds pictures outside of class folders, as {path}")
        if class_folder not in found:
            found[class_folder] = (printable(os.fsencode(class_folder)),)
        labels_of[bytes(Path(split, path))] = found[class_folder]
    if empty := subfolders(folder) - found.keys():
        raise WrongLayout(f"no pictures in these folders of {folder}: {some(empty)}")
    if not found:
        raise WrongLayout(f"no pictures in {folder}")
    return labels_of


def _two_sets(
    listed: Mapping[str, LabelsOf], path: Path, multi_label: bool
) -> tuple[LabelsOf, LabelsOf, str]:
    """Training and test set, with the same classes, and where they come from."""
    if "" in listed:
        set_aside = _set_aside_of_all if multi_label else _set_aside
        test = set_aside(listed[""])
        train = {path: labels for path, labels in listed[""].items() if path not in test}
        whole = "all" if multi_label else "each class"
        return train, test, f"test set: a fifth of {whole}, chosen by a hash of the file's name"
    held_out = held_out_name(listed)
    if TRAIN not in listed or not held_out:
        raise WrongLayout(f"{path} has {some(listed)} alone, not a training and a test set")
    train, test = listed[TRAIN], listed[held_out]
    known, tested = (
        {label for labels in one.values() for label in labels} for one in (train, test)
    )
    absent = set() if multi_label and tested else known - tested
    for missing, name in ((absent, held_out), (tested - known, TRAIN)):
        if missing:
            raise DataError(
                f"{TRAIN} and {held_out} of {path} must have pictures of the same classes, "
                f"but {name} has none of {some(missing)}"
            )
    return train, test, f"training set: {TRAIN}, test set: {held_out}, as given"


def _set_aside(labels_of: LabelsOf) -> LabelsOf:
    """A fifth of each class as a test set, at least one picture."""
    members = defaultdict(list)
    for path, labels in labels_of.items():
        members[labels].append(path)
    test = {}
    for labels, paths in members.items():
        if len(paths) < 2:
            raise DataError(
                f"class {labels[0]} has one picture; at least 2 are needed where a fifth is set "
                "aside"
            )
        test |= dict.fromkeys(by_hash(paths)[: fifth(len(paths))], labels)
    return test


def _set_aside_of_all(labels_of: LabelsOf) -> LabelsOf:
    """A fifth of all pictures, of which none is the last of a class to fit on."""
    left = Counter(label for labels in labels_of.values() for label in labels)
    test: LabelsOf = {}
    for path in by_hash(labels_of):
        labels = labels_of[path]
        if len(test) < fifth(len(labels_of)) and all(left[label] > 1 for label in labels):
            test[path] = labels
            left.subtract(labels)
    if not any(test.values()):
        raise DataError(
            "too few labelled pictures to set a fifth of them aside; give more, or a column split"
        )
    return test
