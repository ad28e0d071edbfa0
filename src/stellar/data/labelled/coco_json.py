"""COCO's annotation files: pictures, categories, and annotations that name both by their numbers.

Numbers of categories have gaps (1 to 90 for 80 of them); a class is a place in their order.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from stellar.data.folder import DataError
from stellar.data.labelled.json_entry import Entry, read_entry
from stellar.data.labelled.listing import some
from stellar.data.labelled.masked import IGNORED
from stellar.images import MAX_PIXELS

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
    annotations: list[Entry]


@dataclass(frozen=True)
class AnnotationFile:
    """What one file says."""

    path: Path
    categories: tuple[Category, ...]
    """In the order of their numbers."""
    pictures: Mapping[str, Annotated]
    """By their file's name."""

    def category_of(self, annotation: Entry) -> int:
        """The place in `categories`. Raises DataError for a number that is not there."""
        number = annotation.number("category_id")
        if number not in self._places:
            raise annotation.error(f"no category has the number {number}")
        return self._places[number]

    @cached_property
    def _places(self) -> dict[int, int]:
        return {category.number: place for place, category in enumerate(self.categories)}


def read_annotations(path: Path) -> AnnotationFile:
    """All of a file. Raises DataError for what is none of COCO's, and for an annotation of which
    it does not tell the picture.
    """
    content = read_entry(path)
    categories = [
        Category(each.number("id"), each.text("name"), each.flag("isthing", missing=True))
        for each in content.entries("categories")
    ]
    categories.sort(key=lambda category: category.number)
    of_picture = defaultdict(list)
    for annotation in content.entries("annotations"):
        of_picture[annotation.identity("image_id")].append(annotation)
    pictures: dict[str, Annotated] = {}
    numbers = set()
    for image in content.entries("images"):
        number, name = image.identity("id"), image.file_name("file_name")
        if number in numbers or name in pictures:
            raise image.error("another picture has the same 'id' or 'file_name'")
        pictures[name] = Annotated(*_size(image), of_picture[number])
        numbers.add(number)
    if not pictures:
        raise DataError(f"{path} names no pictures")
    for number, annotations in of_picture.items():
        if number not in numbers:
            raise annotations[0].error(f"no picture has the 'id' {number!r}")
    return AnnotationFile(path, tuple(categories), pictures)


def _size(image: Entry) -> tuple[int, int]:
    """Height and width of a picture."""
    height, width = image.number("height"), image.number("width")
    if min(height, width) < 1 or height * width > MAX_PIXELS:
        raise image.error(f"'height' x 'width' must be 1 to {MAX_PIXELS} pixels")
    return height, width


def require_pictures(file: AnnotationFile, folder: Path) -> None:
    """Raises DataError where pictures that a file annotates do not lie in their folder."""
    there = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    if lost := file.pictures.keys() - there:
        raise DataError(f"{file.path} annotates pictures that are not in {folder}: {some(lost)}")


def class_names(files: tuple[AnnotationFile, ...], *before: str) -> tuple[str, ...]:
    """Names of `before`, and of the categories, which all files must share. Raises DataError where
    they differ, are there twice, or are more than masks can tell apart.
    """
    first, *others = files
    for other in others:
        if other.categories != first.categories:
            raise DataError(f"{first.path} and {other.path} must have the same categories")
    numbers = [category.number for category in first.categories]
    if len(set(numbers)) < len(numbers):
        raise DataError(f"each category of {first.path} needs a number of its own")
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
