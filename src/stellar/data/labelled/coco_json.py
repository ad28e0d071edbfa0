"""COCO's annotation files: pictures, categories, and annotations that name both by their numbers.

Numbers of categories have gaps (1 to 90 for 80 of them); a class is a place in their order.
"""

import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from stellar.data.folder import DataError
from stellar.data.labelled.listing import some
from stellar.data.labelled.masked import IGNORED

SPLITS = ("train2017", "val2017")
"""What is fitted on and what is tested on."""


@dataclass(frozen=True)
class Category:
    """What the annotations of one number are of."""

    number: int
    name: str
    is_thing: bool
    """Whether it can be counted; stuff, as sky, cannot."""


@dataclass(frozen=True)
class Annotated:
    """A picture and its annotations."""

    height: int
    width: int
    annotations: list[dict[str, Any]]


@dataclass(frozen=True)
class AnnotationFile:
    """What one file says."""

    path: Path
    categories: tuple[Category, ...]
    """In the order of their numbers."""
    pictures: Mapping[str, Annotated]
    """By their file's name."""

    def category_of(self, annotation: Mapping[str, Any]) -> int:
        """The place in `categories`. Raises DataError for a number that is not there."""
        number = annotation.get("category_id")
        if number not in self._places:
            raise DataError(
                f"{self.path} has an annotation of the category {number}, which it does not name"
            )
        return self._places[number]

    @cached_property
    def _places(self) -> dict[int, int]:
        return {category.number: place for place, category in enumerate(self.categories)}


def read_annotations(path: Path) -> AnnotationFile:
    """All of a file. Raises DataError for what is none of COCO's."""
    try:
        content = json.loads(path.read_text("utf-8"))
        categories = [
            Category(int(each["id"]), str(each["name"]), bool(each.get("isthing", True)))
            for each in content["categories"]
        ]
        of_picture = defaultdict(list)
        for annotation in content["annotations"]:
            of_picture[annotation["image_id"]].append(annotation)
        pictures = {
            str(image["file_name"]): Annotated(
                int(image["height"]), int(image["width"]), of_picture[image["id"]]
            )
            for image in content["images"]
        }
    except KeyError as error:
        raise DataError(f"{path} is no annotation file of COCO's: it lacks {error}") from error
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise DataError(f"{path} is no annotation file of COCO's ({error})") from error
    if not pictures:
        raise DataError(f"{path} names no pictures")
    categories.sort(key=lambda category: category.number)
    return AnnotationFile(path, tuple(categories), pictures)


def require_pictures(file: AnnotationFile, folder: Path) -> None:
    """Raises DataError where pictures that a file annotates do not lie in their folder."""
    there = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    if lost := file.pictures.keys() - there:
        raise DataError(f"{file.path} annotates pictures that are not in {folder}: {some(lost)}")


def class_names(files: tuple[AnnotationFile, ...], *before: str) -> tuple[str, ...]:
    """Names of `before`, and of the categories, which all files must share. Raises DataError where
    they differ, are named twice, or are more than masks can tell apart.
    """
    first, *others = files
    for other in others:
        if other.categories != first.categories:
            raise DataError(f"{first.path} and {other.path} must have the same categories")
    names = (*before, *(category.name for category in first.categories))
    if len(set(names)) < len(names):
        twice = {name for name in names if names.count(name) > 1}
        raise DataError(f"each class needs a name of its own, but {first.path} has {some(twice)} "
                        "several times")  # fmt: skip
    if not first.categories or len(names) > IGNORED:
        raise DataError(
            f"{first.path} must have 1 to {IGNORED - len(before)} categories, but it has "
            f"{len(first.categories)}"
        )
    return names
