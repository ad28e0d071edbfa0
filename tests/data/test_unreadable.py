"""Pictures that cannot be read: another takes the place of each, they are named, and a source of
which most are broken is refused.
"""

from pathlib import Path

import pytest
import torch
from PIL import Image

from stellar.data.folder import DataError, ImageFolder
from stellar.data.unreadable import MAX_TRIES, check_readable, read_from
from stellar.images import UnreadableImage


class Damaged:
    """Plain pictures, of which those of some numbers cannot be read."""

    channels = 3

    def __init__(self, unreadable: set[int], length: int = 12) -> None:
        self.unreadable, self.length, self.asked = unreadable, length, []

    def __len__(self) -> int:
        return self.length

    def name(self, index: int) -> str:
        return f"{index}.png"

    def read(self, index: int) -> torch.Tensor:
        self.asked.append(index)
        if index in self.unreadable:
            raise UnreadableImage(self.name(index), "it is broken")
        return torch.full((3, 2, 2), index, dtype=torch.uint8)


def fill(root: Path, count: int) -> None:
    for number in range(count):
        Image.new("RGB", (8, 6), (number,) * 3).save(root / f"{number:03}.png")


@pytest.mark.parametrize(
    ("index", "found", "skipped"), [(2, 2, []), (3, 5, ["3.png", "4.png"]), (11, 0, ["11.png"])]
)
def test_the_next_that_can_be_read_takes_the_place_and_the_others_are_named(
    index: int, found: int, skipped: list[str]
) -> None:
    picture = read_from(Damaged({3, 4, 11}), index)
    assert (picture.pixels == found).all()
    assert picture.index == found
    assert picture.skipped == tuple((name, "it is broken") for name in skipped)


@pytest.mark.parametrize(("length", "tries"), [(12, 12), (1000, MAX_TRIES)])
def test_no_more_are_tried_than_there_are_or_than_allowed(length: int, tries: int) -> None:
    source = Damaged(set(range(length)), length)
    last = (3 + tries - 1) % length
    said = rf"none of {tries} images .* from 3\.png \(it is broken\) to {last}\.png"
    with pytest.raises(DataError, match=said):
        read_from(source, 3)
    assert len(source.asked) == tries


def test_unreadable_files_are_listed(tmp_path: Path) -> None:
    fill(tmp_path, 5)
    (tmp_path / "001.png").write_bytes(b"")
    (tmp_path / "003.png").write_text("not a picture")
    found = check_readable(ImageFolder(tmp_path))
    assert [name for name, _ in found] == ["001.png", "003.png"]
    assert "not a JPEG" in found[1][1]


def test_more_than_half_unreadable_is_refused(tmp_path: Path) -> None:
    fill(tmp_path, 5)
    for number in (0, 2):
        (tmp_path / f"{number:03}.png").write_bytes(b"")
    assert len(check_readable(ImageFolder(tmp_path))) == 2
    (tmp_path / "004.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"3 of 5 images .* more than half; the first is 000\.png"):
        check_readable(ImageFolder(tmp_path))


def test_the_sample_is_spread_over_the_folder(tmp_path: Path) -> None:
    fill(tmp_path, 100)
    for number in range(50, 100):
        (tmp_path / f"{number:03}.png").write_bytes(b"")
    found = check_readable(ImageFolder(tmp_path), sample=10)
    assert len(found) == 5
    assert found[-1][0] == "099.png"
