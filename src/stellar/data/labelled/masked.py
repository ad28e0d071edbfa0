"""Pictures with a class for every pixel: what segmentation and localisation are measured on.

Masks keep the resolution of their pictures. IGNORED marks pixels that count nowhere. Where a data
set knows no objects, each class of a picture that is no background is taken for one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Integer, UInt8
from torch import Tensor

from stellar.data.folder import DataError, ImageFiles, ImageSource, combined
from stellar.images import read_mask

IGNORED = 255
BACKGROUND = "background"
"""The name of a class that is no object."""


@dataclass(frozen=True)
class Masks:
    """What lies where in one picture."""

    classes: UInt8[Tensor, "h w"]
    """Of every pixel, its place in `MaskedSplits.classes`; IGNORED counts nowhere."""
    instances: Integer[Tensor, "h w"]
    """1..n where an object is, of an integer type that holds n; 0 on the background, and where
    nothing is known.
    """
    labels: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """What else is known of the n objects, by name: a number for each, as of its colour."""


@runtime_checkable
class MaskedSource(ImageSource, Protocol):
    """Pictures that know what lies where."""

    def masks(self, index: int) -> Masks:
        """At the picture's own resolution."""
        ...


@dataclass(frozen=True)
class MaskedSplits:
    """What is fitted on and what is tested on."""

    train: MaskedSource
    test: MaskedSource
    classes: tuple[str, ...]
    description: str
    """Where the two sets come from, in words."""
    notes: tuple[str, ...] = ()
    """What looks as if masks meant something else: a sentence each, for who reads the scores."""


class MaskedFiles(ImageFiles):
    """Picture files below `root`, each with a mask file, and perhaps one of its objects.

    `mask_of` gives the mask of each picture, and `places` the place in `classes` of each value
    that a mask may hold, or IGNORED.
    """

    def __init__(
        self,
        root: Path,
        mask_of: Mapping[bytes, bytes],
        classes: tuple[str, ...],
        places: Mapping[int, int],
        channels: int = 3,
        objects: Sequence[bytes] = (),
    ) -> None:
        paths = sorted(mask_of)
        super().__init__(root, paths, channels)
        self._mask_files = ImageFiles(root, [mask_of[path] for path in paths], channels)
        self._object_files = ImageFiles(root, objects, channels) if objects else None
        self._background = classes.index(BACKGROUND) if BACKGROUND in classes else IGNORED
        self._places = torch.full((256,), -1, dtype=torch.int16)
        self._places[list(places)] = torch.tensor(list(places.values()), dtype=torch.int16)

    def fingerprint(self) -> str:
        """Tells other masks apart as well."""
        beside = [self._mask_files]
        if self._object_files is not None:
            beside.append(self._object_files)
        return combined(super().fingerprint(), *(files.fingerprint() for files in beside))

    def masks(self, index: int) -> Masks:
        """Raises UnreadableImage for a mask that is none, or of another size than its picture, and
        DataError for a value that stands for no class.
        """
        picture, path = self.path(index), self._mask_files.path(index)
        stored = read_mask(path, picture)
        classes = self._places[stored.long()]
        if (classes < 0).any():
            value, valid = int(stored[classes < 0][0]), torch.where(self._places >= 0)[0].tolist()
            raise DataError(
                f"{path} holds the value {value}, which stands for no class; "
                f"expected one of {', '.join(map(str, valid))}"
            )
        classes = classes.to(torch.uint8)
        if self._object_files is None:
            return Masks(classes, _an_object_each(classes, self._background))
        instances = read_mask(self._object_files.path(index), picture)
        return Masks(classes, instances.masked_fill(instances == IGNORED, 0))


def _an_object_each(classes: UInt8[Tensor, "h w"], background: int) -> UInt8[Tensor, "h w"]:
    """Every class of a picture as one object, numbered from 1, except background and IGNORED."""
    number_of = torch.zeros(256, dtype=torch.uint8)
    found = [place for place in classes.unique().tolist() if place not in (background, IGNORED)]
    number_of[found] = torch.arange(1, len(found) + 1, dtype=torch.uint8)
    return number_of[classes.long()]
