"""CLEVRTex as it is published (Karazija et al., 2021): scenes of simple shapes in rich textures.

A mask holds the number of the object at every pixel, 0 being the background, and a JSON file says
what shape each object has. The first tenth of the pictures, by their number, is for the test, the
second for validation, all others for training.
"""

import os
import re
from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Int16
from torch import Tensor

from stellar.data.folder import DataError, ImageFiles, combined
from stellar.data.folderindex import walk
from stellar.data.labelled.json_entry import read_entry
from stellar.data.labelled.listing import some, that_holds
from stellar.data.labelled.masked import BACKGROUND, MaskedSplits, Masks
from stellar.images import read_mask

CLASSES = (BACKGROUND, "cube", "cylinder", "monkey", "sphere")
TREE = """ CLEVRTex as
  clevrtex_full/N/CLEVRTEX_full_NNNNNN.png, with CLEVRTEX_full_NNNNNN_flat.png and
  CLEVRTEX_full_NNNNNN.json beside each; or its variant camo, grassbg, pbg or vbg alike"""
_PICTURE = re.compile(r"CLEVRTEX_[a-z]+_(\d{6})\.png")


class ClevrTexFiles(ImageFiles):
    """Pictures below `root`, each with its mask and its description beside it."""

    def fingerprint(self) -> str:
        """Tells other masks, and other descriptions of them, apart as well."""
        pictures = [Path(os.fsdecode(self.relative(index))) for index in range(len(self))]
        beside = (
            ImageFiles(self.root, [bytes(file_of(picture)) for picture in pictures])
            for file_of in (_mask_of, _description_of)
        )
        return combined(super().fingerprint(), *(files.fingerprint() for files in beside))

    def masks(self, index: int) -> Masks:
        """Raises UnreadableImage for a mask that is none, or of another size than its picture, and
        DataError where its objects are not described.
        """
        picture = self.path(index)
        file = _description_of(picture)
        instances = read_mask(_mask_of(picture), picture)
        classes = _places(file)[instances.long()]
        if (classes < 0).any():
            number = int(instances[classes < 0][0])
            raise DataError(f"{file} does not describe the object {number} of its mask")
        return Masks(classes.to(torch.uint8), instances)


def _places(file: Path) -> Int16[Tensor, " 256"]:
    """Of each number in a mask, the place in CLASSES; -1 where the file describes no such object.
    Raises DataError for a file that describes them otherwise.
    """
    place_of = torch.full((256,), -1, dtype=torch.int16)
    place_of[0] = CLASSES.index(BACKGROUND)
    for thing in read_entry(file).entries("objects"):
        number, shape = thing.number("index"), thing.text("shape")
        if number not in range(1, 256) or shape not in CLASSES[1:]:
            shapes = ", ".join(CLASSES[1:])
            raise thing.error(f"an object has an index from 1 to 255 and a shape of {shapes}")
        if place_of[number] >= 0:
            raise thing.error("another object has the same index")
        place_of[number] = CLASSES.index(shape)
    return place_of


def clevrtex_folder(folder: Path) -> Path | None:
    """The folder of numbered folders, which this one is or holds."""
    root = that_holds("0", folder, folder / "clevrtex_full")
    there = root and next((root / "0").glob("CLEVRTEX_*_flat.png"), None)
    return root if there else None


def open_clevrtex(root: Path, channels: int = 3) -> MaskedSplits:
    """Its 4 shapes and the background. Raises DataError, with the expected tree, for what lacks."""
    pictures = _pictures(root)
    tenth = len(pictures) // 10
    if not tenth:
        raise DataError(f"{root} holds {len(pictures)} pictures; at least 10 are needed")
    description = (
        "CLEVRTex; test set: the first tenth of its pictures, training set: all from the third on, "
        "as published"
    )
    return MaskedSplits(
        ClevrTexFiles(root, pictures[2 * tenth :], channels),
        ClevrTexFiles(root, pictures[:tenth], channels),
        CLASSES,
        description,
    )


def _pictures(root: Path) -> Sequence[bytes]:
    """In the order of their numbers."""
    found = {Path(path) for path in walk(str(root), (".png", ".json"))}
    pictures = [path for path in found if _PICTURE.fullmatch(path.name)]
    lost = {
        str(beside)
        for picture in pictures
        for beside in (_mask_of(picture), _description_of(picture))
        if beside not in found
    }
    if lost or not pictures:
        missing = f"lacks {some(lost)}" if lost else "holds no pictures"
        raise DataError(f"{root} {missing}; expected{TREE}")
    return [bytes(path) for path in sorted(pictures, key=lambda path: path.name)]


def _mask_of(picture: Path) -> Path:
    return picture.with_name(f"{picture.stem}_flat.png")


def _description_of(picture: Path) -> Path:
    return picture.with_suffix(".json")
