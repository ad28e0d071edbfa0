"""COCO's instance annotations: objects as polygons or run-length codes, which may overlap.

Where objects overlap, the smaller is on top, as it would else be hidden. Pixels of a crowd
(iscrowd) that no object has are IGNORED; all others are background, which is a class.
"""

from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch

from stellar.data.folder import ImageFiles, combined
from stellar.data.labelled.coco_json import SPLITS, Annotated, AnnotationFile, class_names
from stellar.data.labelled.coco_outlines import EXPECTED, Outline, drawn, is_outline
from stellar.data.labelled.masked import BACKGROUND, IGNORED, MaskedSplits, Masks
from stellar.data.labelled.records import Records
from stellar.errors import MissingPackage
from stellar.images import as_shown

Record = tuple[int, int, list[tuple[int, bool, Outline]]]
"""Height and width of a picture, and of each object its class, whether it is a crowd, and where."""


class InstanceFiles(ImageFiles):
    """Pictures below `root`, each with its objects."""

    def __init__(
        self, root: Path, pictures: list[bytes], records: Iterable[Record], channels: int = 3
    ) -> None:
        super().__init__(root, pictures, channels)
        self._records = Records(records)

    def fingerprint(self) -> str:
        """Tells other annotations apart as well."""
        return combined(super().fingerprint(), self._records.fingerprint())

    def masks(self, index: int) -> Masks:
        """Raises UnreadableImage where the picture is of another size than its annotation."""
        height, width, found = self._records[index]
        objects = [
            (not is_crowd, place, drawn(outline, height, width))
            for place, is_crowd, outline in found
        ]
        objects.sort(key=lambda each: (each[0], -int(each[2].sum())))
        values = np.zeros((height, width, 2), np.int32)
        for number, (is_object, place, mask) in enumerate(objects, start=1):
            values[mask.astype(bool)] = (place, number) if is_object else (IGNORED, 0)
        classes, instances = np.moveaxis(as_shown(values, self.path(index)), 2, 0)
        return Masks(torch.from_numpy(classes.astype(np.uint8)), torch.from_numpy(instances.copy()))


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
    """What is kept of a picture; the background is the class before all others. Raises DataError
    for an outline that is none.
    """
    height, width, objects = picture.height, picture.width, []
    for each in picture.annotations:
        outline = each.value("segmentation")
        if not is_outline(outline, height, width):
            raise each.wrong("segmentation", EXPECTED.format(height, width))
        place = 1 + file.category_of(each)
        objects.append((place, each.flag("iscrowd", missing=False), outline))
    return height, width, objects
