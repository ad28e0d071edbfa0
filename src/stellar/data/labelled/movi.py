"""MOVi-A to MOVi-F as they are published (Greff et al., 2022): TFRecord files of videos.

Of a video are read its frames and segmentations, as PNG, and what its objects are. A segmentation
holds the number of the object at every pixel, 0 being the background. The test set is every frame
of the videos for validation. Neighbouring frames tell nearly the same, so that a training video
gives one frame: the first gives its first, the second its second, and so on in turn.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from stellar.data.folder import BEGINNING, LOOKED_AT, DataError, evenly_spread
from stellar.data.labelled.listing import some
from stellar.data.labelled.masked import BACKGROUND, MaskedSplits, Masks
from stellar.data.labelled.tfrecord import Values, features_of, records_in
from stellar.images import Pixels, UnreadableImage, decode_mask, read_image

NUM_FRAMES = 24
"""Of every video."""
VIDEO, SEGMENTATIONS = "video", "segmentations"
SHAPES = (
    "cube", "cylinder", "sphere", "cone", "torus", "gear", "torus_knot", "sponge", "spot", "teapot",
    "suzanne",
)  # fmt: skip
CATEGORIES = (
    "Action Figures", "Bag", "Board Games", "Bottles and Cans and Cups", "Camera", "Car Seat",
    "Consumer Goods", "Hat", "Headphones", "Keyboard", "Legos", "Media Cases", "Mouse", "None",
    "Shoe", "Stuffed Toys", "Toys",
)  # fmt: skip
COLOURS = ("blue", "brown", "cyan", "gray", "green", "purple", "red", "yellow")
TREE = """ MOVi as
  movi_e/128x128/1.0.0/movi_e-train.tfrecord-*-of-* and .../movi_e-validation.tfrecord-*-of-*,
  or another of movi_a to movi_f alike"""


@dataclass(frozen=True)
class Label:
    """What is known of every object of a variant."""

    feature: str
    """Its name in the records, which hold a place in `names`, or the name itself."""
    names: tuple[str, ...]

    def places(self, values: Values) -> list[int]:
        """Of each object, its place in `names`. Raises ValueError for what is not there."""
        return [
            range(len(self.names)).index(value)
            if isinstance(value, int)
            else self.names.index(str(value, "utf-8", "replace"))
            for value in values
        ]


_CATEGORY = Label("instances/category", CATEGORIES)
CLASS_OF = {
    "movi_a": Label("instances/shape_label", SHAPES[:3]),
    "movi_b": Label("instances/shape_label", SHAPES),
    "movi_c": _CATEGORY,
    "movi_d": _CATEGORY,
    "movi_e": _CATEGORY,
    "movi_f": _CATEGORY,
}
"""What the class of an object is, by variant."""
COLOUR_OF = {"movi_a": Label("instances/color_label", COLOURS)}
"""In the others colours have no names."""


@dataclass(frozen=True)
class Frame:
    """Where a picture is: the place of its file, its record's beginning and length, which frame."""

    file: int
    begin: int
    length: int
    number: int


class MoviFrames:
    """Frames of videos in these files of one variant: a source of pictures with masks."""

    def __init__(
        self, variant: str, files: Sequence[Path], frames: Sequence[Frame], channels: int = 3
    ) -> None:
        self.channels, self._files = channels, tuple(files)
        self._labels = {"class": CLASS_OF[variant]}
        if variant in COLOUR_OF:
            self._labels["colour"] = COLOUR_OF[variant]
        places = [(each.file, each.begin, each.length, each.number) for each in frames]
        self._frames = torch.tensor(places, dtype=torch.int64)

    def __len__(self) -> int:
        return len(self._frames)

    def name(self, index: int) -> str:
        frame = self._frame(index)
        return f"{self._files[frame.file].name}, byte {frame.begin}, frame {frame.number}"

    def fingerprint(self) -> str:
        """Tells other frames apart: by all of their names, and by the beginning of up to LOOKED_AT
        of their records.
        """
        digest = hashlib.sha256(repr([self.name(index) for index in range(len(self))]).encode())
        for index in evenly_spread(self, LOOKED_AT):
            frame = self._frame(index)
            with self._files[frame.file].open("rb") as file:
                file.seek(frame.begin)
                digest.update(file.read(min(frame.length, BEGINNING)))
        return digest.hexdigest()

    def read(self, index: int) -> Pixels:
        video = self._features(index, VIDEO)[VIDEO]
        return read_image(self.name(index), self.channels, self._png(index, video))

    def masks(self, index: int) -> Masks:
        """Raises UnreadableImage for a record that is damaged, whose objects are not known, or
        whose segmentation is of another size than its frame.
        """
        names = {kind: label.feature for kind, label in self._labels.items()}
        found = self._features(index, VIDEO, SEGMENTATIONS, *names.values())
        mask, frame = (self._png(index, found[name]) for name in (SEGMENTATIONS, VIDEO))
        instances = decode_mask(self.name(index), mask, frame)
        try:
            labels = {
                kind: tuple(label.places(found[label.feature]))
                for kind, label in self._labels.items()
            }
            _require_all(labels, int(instances.max()))
        except ValueError as error:
            reason = f"not all of its objects are of a known kind ({error})"
            raise UnreadableImage(self.name(index), reason) from error
        of_objects = torch.tensor([0, *(1 + place for place in labels.pop("class"))])
        return Masks(of_objects[instances.long()].to(torch.uint8), instances, labels)

    def _frame(self, index: int) -> Frame:
        return Frame(*self._frames[index].tolist())

    def _features(self, index: int, *names: str) -> dict[str, Values]:
        """These features of a picture's record."""
        frame = self._frame(index)
        shape = (frame.length,)
        record = np.memmap(self._files[frame.file], np.uint8, "r", frame.begin, shape)
        try:
            found = features_of(record.data, names)
        except ValueError as error:
            raise UnreadableImage(self.name(index), f"its record is damaged: {error}") from error
        if lost := set(names) - found.keys():
            raise UnreadableImage(self.name(index), f"its record lacks {some(lost)}")
        return found

    def _png(self, index: int, frames: Values) -> bytes:
        """The file of the picture's frame."""
        number = self._frame(index).number
        if number >= len(frames):
            reason = f"its record holds {len(frames)} frames, not {NUM_FRAMES}"
            raise UnreadableImage(self.name(index), reason)
        data = frames[number]
        if isinstance(data, int):
            reason = "its record holds numbers where PNG files are expected"
            raise UnreadableImage(self.name(index), reason)
        return bytes(data)


def _require_all(labels: Mapping[str, tuple[int, ...]], num_objects: int) -> None:
    """Raises ValueError where so many objects are seen, and fewer have a label of some kind."""
    for kind, places in labels.items():
        if len(places) < num_objects:
            raise ValueError(f"{len(places)} have a {kind}, but {num_objects} are seen")


def movi_folder(folder: Path) -> Path | None:
    """The folder of TFRecord files of a variant, which this one is, or holds as TREE has it. Raises
    DataError where it holds several.
    """
    below = (path for tree in ("1.0.0", "*/1.0.0", "movi_?/*/1.0.0") for path in folder.glob(tree))
    found = [each for each in (folder, *below) if each.is_dir() and _variant(each)]
    if len(found) > 1:
        names = some(str(each.relative_to(folder)) for each in found)
        raise DataError(f"{folder} holds several data sets of MOVi; choose one of {names}")
    return found[0] if found else None


def open_movi(root: Path, channels: int = 3) -> MaskedSplits:
    """The objects' shapes (movi_a, movi_b) or categories, and the background. Raises DataError,
    with the expected tree, for what lacks.
    """
    variant = _variant(root)
    train, test = (_videos(root, f"{variant}-{split}") for split in ("train", "validation"))
    one_each = [Frame(*video, number % NUM_FRAMES) for number, video in enumerate(train[1])]
    every = [Frame(*video, number) for video in test[1] for number in range(NUM_FRAMES)]
    assert variant
    return MaskedSplits(
        MoviFrames(variant, train[0], one_each, channels),
        MoviFrames(variant, test[0], every, channels),
        (BACKGROUND, *CLASS_OF[variant].names),
        f"{variant}; training set: a frame of each video of train, test set: every frame of "
        "validation",
    )


def _variant(root: Path) -> str | None:
    """The one whose files are here."""
    return next((each for each in CLASS_OF if any(root.glob(f"{each}-*.tfrecord-*"))), None)


def _videos(root: Path, name: str) -> tuple[list[Path], list[tuple[int, int, int]]]:
    """Files of a split, and of each of their videos its file, beginning and length."""
    files = sorted(root.glob(f"{name}.tfrecord-*"))
    videos = [
        (place, begin, length)
        for place, file in enumerate(files)
        for begin, length in records_in(file)
    ]
    if not videos:
        raise DataError(f"{root} holds no videos of {name}; expected{TREE}")
    return files, videos
