"""COCO's instance annotations: objects as polygons or run-length codes, which may overlap.

Where objects overlap, the smaller is on top, as it would else be hidden. Pixels of a crowd
(iscrowd) that no object has are IGNORED; all others are background, which is a class.
"""

import warnings
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8

from stellar.data.folder import DataError, ImageFiles
from stellar.data.labelled.coco_json import SPLITS, Annotated, AnnotationFile, class_names
from stellar.data.labelled.masked import BACKGROUND, IGNORED, MaskedSplits, Masks
from stellar.data.labelled.records import Records
from stellar.errors import MissingPackage
from stellar.images import as_shown

Outline = Any
"""Polygons, lists of x and y in turn; or a run-length code, compressed or not, with its size."""
Record = tuple[int, int, list[tuple[int, bool, Outline]]]
"""Height and width of a picture, and of each object its class, whether it is a crowd, and where."""


class InstanceFiles(ImageFiles):
    """Pictures below `root`, each with its objects."""

    def __init__(
        self, root: Path, pictures: list[bytes], records: Iterable[Record], channels: int = 3
    ) -> None:
        super().__init__(root, pictures, channels)
        self._records = Records(records)

    def masks(self, index: int) -> Masks:
        """Raises UnreadableImage where the picture is of another size than its annotation, and
        DataError for an outline that is none.
        """
        height, width, found = self._records[index]
        drawn = [
            (not is_crowd, place, self._drawn(index, outline, height, width))
            for place, is_crowd, outline in found
        ]
        drawn.sort(key=lambda each: (each[0], -int(each[2].sum())))
        values = np.zeros((height, width, 2), np.int32)
        for number, (is_object, place, mask) in enumerate(drawn, start=1):
            values[mask.astype(bool)] = (place, number) if is_object else (IGNORED, 0)
        classes, instances = np.moveaxis(as_shown(values, self.path(index)), 2, 0)
        return Masks(torch.from_numpy(classes.astype(np.uint8)), torch.from_numpy(instances.copy()))

    def _drawn(
        self, index: int, outline: Outline, height: int, width: int
    ) -> UInt8[np.ndarray, "{height} {width}"]:
        """1 where an object is."""
        from pycocotools import mask

        if not _is_outline(outline, height, width):
            raise DataError(
                f"an annotation of {self.name(index)} has no outline: expected polygons of 3 "
                f"points or more, or a run-length code of {height} x {width} pixels"
            )
        code = outline
        if isinstance(outline, list) or isinstance(outline["counts"], list):
            code = mask.frPyObjects(outline, height, width)
        if isinstance(code, list):
            code = mask.merge(code)
        with warnings.catch_warnings(action="ignore"):  # of numpy 2, about pycocotools
            return mask.decode(code)


def _is_outline(outline: Outline, height: int, width: int) -> bool:
    """Whether it is one, since pycocotools takes shorter lists for boxes."""
    if isinstance(outline, dict):
        return list(outline.get("size", ())) == [height, width] and "counts" in outline
    return bool(outline) and all(len(each) >= 6 and len(each) % 2 == 0 for each in outline)


def open_instances(root: Path, files: tuple[AnnotationFile, ...], channels: int) -> MaskedSplits:
    """The pictures that two files annotate. Raises MissingPackage without pycocotools."""
    if find_spec("pycocotools") is None:
        raise MissingPackage(
            "COCO's instances need pycocotools; "
            'install it with: pip install "stellar-vision[coco]"'
        )
    names = class_names(files, BACKGROUND)
    train, test = (
        _instance_files(root, split, file, channels)
        for split, file in zip(SPLITS, files, strict=True)
    )
    description = (
        f"COCO, instances: {len(names) - 1} classes of things and the background, the smaller "
        "object on top, crowds not counted; training set: train2017, test set: val2017"
    )
    return MaskedSplits(train, test, names, description)


def _instance_files(root: Path, split: str, file: AnnotationFile, channels: int) -> InstanceFiles:
    names = sorted(file.pictures)
    return InstanceFiles(
        root,
        [bytes(Path(split, name)) for name in names],
        (_record(file, file.pictures[name]) for name in names),
        channels,
    )


def _record(file: AnnotationFile, picture: Annotated) -> Record:
    """What is kept of a picture; the background is the class before all others."""
    objects = [
        (1 + file.category_of(each), bool(each.get("iscrowd")), each.get("segmentation", []))
        for each in picture.annotations
    ]
    return picture.height, picture.width, objects
