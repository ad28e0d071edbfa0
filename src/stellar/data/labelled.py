"""Pictures with a class each, in a training and a test set: what classification is measured on.

Either a folder with train/ and val/ and in both a folder per class, as ImageNet's; or a folder per
class alone, of which a fifth is set aside; or a CSV file of paths and labels.
"""

import csv
import hashlib
import os
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int64

from stellar.data.folder import DataError, ImageFiles, extensions_of, printable, walk

TRAIN = "train"
HELD_OUT = ("val", "validation", "test")
"""Names of the test set; the first that is there is taken, since many a test/ has no labels."""
TREE = """
  FOLDER/train/CLASS/*.jpg and FOLDER/val/CLASS/*.jpg (or validation/, or test/), or
  FOLDER/CLASS/*.jpg, where a fifth of each class becomes the test set, or
  FILE.csv with the columns path,label or path,label,split (train, val, validation, test)"""

ClassOf = dict[bytes, str]
"""The class of each path, which is relative to the root."""


class LabelledImages(ImageFiles):
    """Picture files below `root`, sorted by path, with the places of their classes in `classes`."""

    labels: Int64[np.ndarray, " N"]

    def __init__(
        self, root: Path, class_of: Mapping[bytes, str], classes: tuple[str, ...], channels: int = 3
    ) -> None:
        paths = sorted(class_of)
        super().__init__(root, paths, channels)
        places = {name: place for place, name in enumerate(classes)}
        self.labels = np.array([places[class_of[path]] for path in paths], np.int64)


@dataclass(frozen=True)
class Splits:
    """What is fitted on and what is tested on; both hold at least one picture of each class."""

    train: LabelledImages
    test: LabelledImages
    classes: tuple[str, ...]
    """Their names, sorted; a label is a place in here."""
    description: str
    """Where the two sets come from, in words."""


def open_labelled(path: Path | str, channels: int = 3) -> Splits:
    """The labelled pictures of a folder or a CSV file, for a model of so many channels.

    Paths in a CSV file are relative to it. Where no test set is given, it is a fifth of each class,
    those with the smallest SHA-256 of their relative path: the same on every machine. Raises
    DataError with a sentence, and the trees that are expected, for anything else.
    """
    path = Path(path)
    if path.is_dir():
        root, listed = path, _list_folders(path, extensions_of(channels))
    elif path.exists():
        root, listed = path.parent, _read_table(path)
    else:
        raise _wrong_layout(f"{path} does not exist")
    train, test, description = _two_sets(listed, path)
    classes = tuple(sorted(set(train.values())))
    if len(classes) < 2:
        raise _wrong_layout(f"{path} has one class alone, {_some(classes)}; at least 2 are needed")
    return Splits(
        LabelledImages(root, train, classes, channels),
        LabelledImages(root, test, classes, channels),
        classes,
        description,
    )


def _wrong_layout(problem: str) -> DataError:
    return DataError(f"{problem}; expected labelled pictures as{TREE}")


def _list_folders(root: Path, extensions: tuple[str, ...]) -> dict[str, ClassOf]:
    """Paths and classes by split; the split's name is empty where a folder per class is all."""
    folders = _subfolders(root)
    held_out = _held_out(folders)
    if TRAIN in folders and held_out:
        return {split: _list_classes(root, split, extensions) for split in (TRAIN, held_out)}
    if folders and folders <= {TRAIN, *HELD_OUT}:
        raise _wrong_layout(f"{root} holds {_some(folders)} alone, not a training and a test set")
    return {"": _list_classes(root, "", extensions)}


def _list_classes(root: Path, split: str, extensions: tuple[str, ...]) -> ClassOf:
    folder, class_of, found = root / split, {}, set()
    for path in walk(str(folder), extensions):
        class_folder, separator, _ = path.partition(os.sep)
        if not separator:
            raise _wrong_layout(f"{folder} holds pictures outside of class folders, as {path}")
        class_of[bytes(Path(split, path))] = printable(os.fsencode(class_folder))
        found.add(class_folder)
    if empty := _subfolders(folder) - found:
        raise _wrong_layout(f"no pictures in these folders of {folder}: {_some(empty)}")
    if not found:
        raise _wrong_layout(f"no pictures in {folder}")
    return class_of


def _subfolders(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.is_dir() and path.name[0] != "."}


def _read_table(path: Path) -> dict[str, ClassOf]:
    """Paths and classes by split; the split's name is empty where there is no such column."""
    listed, seen = defaultdict(dict), set()
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file, skipinitialspace=True, strict=True)
            columns = rows.fieldnames or ()
            if not {"path", "label"} <= set(columns):
                raise _wrong_layout(f"{path} has the columns {','.join(columns) or 'none'}")
            for row in rows:
                picture, label = Path(row["path"] or ""), (row["label"] or "").strip()
                split = (row["split"] or "none").strip() if "split" in columns else ""
                problem = _problem_of_row(path.parent, picture, label, split)
                if picture in seen:
                    problem = f"{picture} was there before"
                if problem:
                    raise DataError(f"{path}, line {rows.line_num}: {problem}")
                seen.add(picture)
                listed[split][bytes(picture)] = label
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise _wrong_layout(f"{path} cannot be read as a CSV file ({error})") from error
    if not listed:
        raise _wrong_layout(f"{path} has no rows")
    return listed


def _problem_of_row(root: Path, picture: Path, label: str, split: str) -> str | None:
    if not (root / picture).is_file():
        return f"{picture} is no file; paths are relative to {root}"
    if not label:
        return f"{picture} has no label"
    if split not in ("", TRAIN, *HELD_OUT):
        return f"the split must be one of {', '.join((TRAIN, *HELD_OUT))}, got {split}"
    return None


def _two_sets(listed: Mapping[str, ClassOf], path: Path) -> tuple[ClassOf, ClassOf, str]:
    """Training and test set, with the same classes, and where they come from."""
    if "" in listed:
        train, test = _set_aside(listed[""])
        return train, test, "test set: a fifth of each class, chosen by a hash of the file's name"
    held_out = _held_out(listed)
    if TRAIN not in listed or not held_out:
        raise _wrong_layout(f"{path} has {_some(listed)} alone, not a training and a test set")
    train, test = listed[TRAIN], listed[held_out]
    for one, other, name in ((train, test, held_out), (test, train, TRAIN)):
        if missing := set(one.values()) - set(other.values()):
            raise DataError(
                f"{TRAIN} and {held_out} of {path} must have pictures of the same classes, "
                f"but {name} has none of {_some(missing)}"
            )
    return train, test, f"training set: {TRAIN}, test set: {held_out}, as given"


def _set_aside(class_of: ClassOf) -> tuple[ClassOf, ClassOf]:
    """A fifth of each class as a test set, at least one picture, and the others."""
    members = defaultdict(list)
    for path, label in class_of.items():
        members[label].append(path)
    test = {}
    for label, paths in members.items():
        if len(paths) < 2:
            raise DataError(
                f"class {label} has one picture; at least 2 are needed where a fifth is set aside"
            )
        paths.sort(key=lambda path: hashlib.sha256(path).digest())
        test |= dict.fromkeys(paths[: max(1, round(len(paths) / 5))], label)
    return {path: class_of[path] for path in class_of if path not in test}, test


def _held_out(names: Iterable[str]) -> str | None:
    return next((name for name in HELD_OUT if name in names), None)


def _some(names: Iterable[str]) -> str:
    """The first names, and how many more there are."""
    names = sorted(names)
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(printable(os.fsencode(name)) for name in names[:5]) + more
