"""ADE20K, Pascal VOC and Cityscapes as they are published, each with its own label convention.

ADE20K: 0 is "other" and not counted, 1 to 150 are classes. VOC: 0, the background, is a class, and
255 marks the borders of objects. Cityscapes: 19 of its labels are classes. All are tested on what
they call validation, as the labels of their test sets are secret.
"""

from pathlib import Path

from stellar.data.folder import DataError
from stellar.data.labelled import class_names
from stellar.data.labelled.listing import that_holds
from stellar.data.labelled.masked import IGNORED, MaskedFiles, MaskedSplits
from stellar.data.labelled.pairs import MaskOf, pair

ADE20K_TREE = """ ADE20K as
  ADEChallengeData2016/images/training/*.jpg and ADEChallengeData2016/images/validation/*.jpg,
  ADEChallengeData2016/annotations/training/*.png and .../annotations/validation/*.png"""
VOC_TREE = """ Pascal VOC as
  VOCdevkit/VOC2012/JPEGImages/*.jpg, VOCdevkit/VOC2012/SegmentationClass/*.png,
  VOCdevkit/VOC2012/ImageSets/Segmentation/train.txt and val.txt; for localisation
  VOCdevkit/VOC2012/SegmentationObject/*.png"""
CITYSCAPES_TREE = """ Cityscapes as
  FOLDER/leftImg8bit/{train,val}/CITY/*_leftImg8bit.png and
  FOLDER/gtFine/{train,val}/CITY/*_gtFine_labelIds.png (or *_gtFine_labelTrainIds.png)"""


def ade20k_folder(folder: Path) -> Path | None:
    """The folder ADEChallengeData2016, which this one is or holds."""
    return that_holds("annotations/training", folder, folder / "ADEChallengeData2016")


def open_ade20k(root: Path, channels: int = 3) -> MaskedSplits:
    """The scene parsing benchmark of 150 classes."""
    train, test = (
        pair(root, Path("images", split), Path("annotations", split), channels, ADE20K_TREE)
        for split in ("training", "validation")
    )
    places = {0: IGNORED} | {place + 1: place for place in range(len(class_names.ADE20K))}
    return MaskedSplits(
        MaskedFiles(root, train, class_names.ADE20K, places, channels),
        MaskedFiles(root, test, class_names.ADE20K, places, channels),
        class_names.ADE20K,
        "ADE20K; training set: training, test set: validation",
    )


def voc_folder(folder: Path) -> Path | None:
    """The folder VOC2012, which this one is or holds."""
    return that_holds("JPEGImages", folder, folder / "VOC2012", folder / "VOCdevkit/VOC2012")


def open_voc(root: Path, channels: int = 3) -> MaskedSplits:
    """Its 20 classes and the background; objects are known."""
    sources = []
    for split in ("train", "val"):
        names = _voc_names(root, split)
        mask_of = _voc_masks(root, "SegmentationClass", names)
        objects = ()
        if (root / "SegmentationObject").is_dir():
            object_of = _voc_masks(root, "SegmentationObject", names)
            objects = [object_of[path] for path in sorted(object_of)]
        places = {place: place for place in (*range(len(class_names.VOC)), IGNORED)}
        sources.append(MaskedFiles(root, mask_of, class_names.VOC, places, channels, objects))
    train, test = sources
    description = "Pascal VOC; training set: train, test set: val"
    return MaskedSplits(train, test, class_names.VOC, description)


def _voc_names(root: Path, split: str) -> list[str]:
    """The pictures of a split that have masks."""
    path = root / "ImageSets/Segmentation" / f"{split}.txt"
    if not path.is_file():
        raise DataError(f"{path} does not exist; expected{VOC_TREE}")
    names = path.read_text("utf-8", errors="replace").split()
    if not names:
        raise DataError(f"{path} names no pictures; expected{VOC_TREE}")
    return names


def _voc_masks(root: Path, folder: str, names: list[str]) -> MaskOf:
    mask_of = {}
    for name in names:
        picture, mask = Path("JPEGImages", f"{name}.jpg"), Path(folder, f"{name}.png")
        for path in (picture, mask):
            if not (root / path).is_file():
                raise DataError(f"{root / path} does not exist; expected{VOC_TREE}")
        mask_of[bytes(picture)] = bytes(mask)
    return mask_of


def cityscapes_folder(folder: Path) -> Path | None:
    """The folder that holds leftImg8bit and gtFine, if this is it."""
    return that_holds("leftImg8bit", folder) or that_holds("gtFine", folder)


def open_cityscapes(root: Path, channels: int = 3) -> MaskedSplits:
    """The 19 classes of its benchmark, at 2048 x 1024; all else is not counted."""
    trained = not next((root / "gtFine/train").rglob("*_labelIds.png"), None)
    end = "_gtFine_labelTrainIds" if trained else "_gtFine_labelIds"
    train, test = (_cityscapes_pairs(root, split, end, channels) for split in ("train", "val"))
    names = tuple(class_names.CITYSCAPES)
    values = range(len(names)) if trained else class_names.CITYSCAPES.values()
    places = dict.fromkeys(range(256), IGNORED) | {v: place for place, v in enumerate(values)}
    return MaskedSplits(
        MaskedFiles(root, train, names, places, channels),
        MaskedFiles(root, test, names, places, channels),
        names,
        "Cityscapes; training set: train, test set: val",
    )


def open_cityscapes_raw(root: Path, channels: int = 3) -> MaskedSplits:
    """Its 33 labels from 1 on as they are numbered, as the published code of STELLAR reads them:
    what its benchmark does not count, as the car that films, is a class too.
    """
    names = class_names.CITYSCAPES_RAW
    places = dict.fromkeys(range(256), IGNORED) | {n: n - 1 for n in range(1, len(names) + 1)}
    train, test = (
        MaskedFiles(
            root, _cityscapes_pairs(root, split, "_gtFine_labelIds", channels), names, places,
            channels,
        )
        for split in ("train", "val")
    )  # fmt: skip
    description = "Cityscapes by all its raw labels; training set: train, test set: val"
    return MaskedSplits(train, test, names, description)


def _cityscapes_pairs(root: Path, split: str, end: str, channels: int) -> MaskOf:
    """Mask files that end so, by their pictures."""
    return pair(
        root, Path("leftImg8bit", split), Path("gtFine", split), channels, CITYSCAPES_TREE,
        ("_leftImg8bit", end),
    )  # fmt: skip
