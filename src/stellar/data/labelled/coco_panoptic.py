"""COCO's panoptic annotations: every pixel is of a thing, of stuff, or of nothing that is known.

A PNG file holds the number R + 256 G + 65536 B of each pixel's segment, and the annotation file
says of what category a segment is. Things are objects, stuff is not. Pixels without a segment
(0) and those of a crowd (iscrowd) are IGNORED.
"""

from collections.abc import Iterable
from pathlib import Path

import torch

from stellar.data.folder import DataError, ImageFiles, combined
from stellar.data.labelled.coco_json import SPLITS, AnnotationFile, class_names
from stellar.data.labelled.json_entry import Entry
from stellar.data.labelled.masked import IGNORED, MaskedSplits, Masks
from stellar.data.labelled.records import Records
from stellar.images import read_coloured_mask

Segment = tuple[int, int, bool]
"""Its number in the PNG file, its class, and whether it is an object."""


class PanopticFiles(ImageFiles):
    """Pictures below `root`, each with the file and the segments of its mask."""

    def __init__(
        self,
        root: Path,
        pictures: list[bytes],
        masks: list[bytes],
        segments: Iterable[list[Segment]],
        channels: int = 3,
    ) -> None:
        super().__init__(root, pictures, channels)
        self._mask_files = ImageFiles(root, masks, channels)
        self._segments = Records(segments)

    def fingerprint(self) -> str:
        """Tells other masks, and other annotations of them, apart as well."""
        masks, segments = self._mask_files.fingerprint(), self._segments.fingerprint()
        return combined(super().fingerprint(), masks, segments)

    def masks(self, index: int) -> Masks:
        """Raises UnreadableImage for a mask that is none, or of another size than its picture, and
        DataError for a segment that is not annotated.
        """
        path = self._mask_files.path(index)
        numbers, where = read_coloured_mask(path, self.path(index)).unique(return_inverse=True)
        classes = torch.full(numbers.shape, IGNORED, dtype=torch.uint8)
        instances = torch.zeros(numbers.shape, dtype=torch.int32)
        segments = {number: rest for number, *rest in self._segments[index]}
        objects = 0
        for row, number in enumerate(numbers.tolist()):
            if number and number not in segments:
                raise DataError(f"{path} holds the segment {number}, which its annotation lacks")
            place, is_object = segments.get(number, (IGNORED, False))
            objects += is_object
            classes[row], instances[row] = place, objects if is_object else 0
        return Masks(classes[where], instances[where])


def open_panoptic(
    root: Path, files: tuple[AnnotationFile, ...], masks: tuple[Path, ...], channels: int
) -> MaskedSplits:
    """The pictures that two files annotate, with masks in two folders, relative to the root."""
    names = class_names(files)
    train, test = (
        _panoptic_files(root, split, file, folder, channels)
        for split, file, folder in zip(SPLITS, files, masks, strict=True)
    )
    description = (
        f"COCO, panoptic: {len(names)} classes of things and stuff, of which things are objects, "
        "crowds not counted; training set: train2017, test set: val2017"
    )
    return MaskedSplits(train, test, names, description)


def _panoptic_files(
    root: Path, split: str, file: AnnotationFile, masks: Path, channels: int
) -> PanopticFiles:
    pictures, paths, segments = [], [], []
    for name, annotated in sorted(file.pictures.items()):
        if len(annotated.annotations) != 1:
            count = len(annotated.annotations)
            raise DataError(f"{file.path} must annotate {name} once, but does so {count} times")
        (annotation,) = annotated.annotations
        pictures.append(bytes(Path(split, name)))
        paths.append(bytes(masks / annotation.file_name("file_name")))
        segments.append(_segments(file, annotation))
    return PanopticFiles(root, pictures, paths, segments, channels)


def _segments(file: AnnotationFile, annotation: Entry) -> list[Segment]:
    """Of a picture. Raises DataError for a number that several have."""
    found: dict[int, Segment] = {}
    for each in annotation.entries("segments_info"):
        number, place = each.number("id"), file.category_of(each)
        if number in found:
            raise annotation.error(f"several segments have the 'id' {number}")
        is_crowd = each.flag("iscrowd", missing=False)
        is_object = file.categories[place].is_thing and not is_crowd
        found[number] = number, IGNORED if is_crowd else place, is_object
    return list(found.values())
