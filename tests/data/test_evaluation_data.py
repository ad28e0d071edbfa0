"""Data of every kind through one function; the scenes as pictures with masks."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from stellar.config import ModelConfig
from stellar.data import DataError, MaskedSplits, Splits, open_data
from stellar.errors import UserError

Save = Callable[..., Path]
CONFIG = ModelConfig(image_size=32, patch_size=8)


def test_labels_are_told_from_masks(tmp_path: Path, save: Save) -> None:
    for name in ("a/1.png", "a/2.png", "b/1.png", "b/2.png"):
        save(tmp_path / "labels" / name, 0)
    assert isinstance(open_data(tmp_path / "labels", CONFIG), Splits)
    (tmp_path / "labels/all.csv").write_text("path,label\na/1.png,x\na/2.png,x\nb/1.png,y;x\n")
    splits = open_data(str(tmp_path / "labels/all.csv"), CONFIG)
    assert isinstance(splits, Splits)
    assert splits.multi_label
    for name in ("1", "2"):
        save(tmp_path / f"masks/images/{name}.jpg", 0)
        save(tmp_path / f"masks/masks/{name}.png", [[0, 1, 1], [1, 1, 0]])
    assert isinstance(open_data(tmp_path / "masks", CONFIG), MaskedSplits)


def test_an_empty_name_is_no_folder() -> None:
    with pytest.raises(UserError, match="expected a path or an address, got ''"):
        open_data("", CONFIG)


def test_a_folder_that_may_not_be_read_is_named_not_what_is_looked_for_in_it(
    open_folder: Path, without_rights: Callable[[], AbstractContextManager[None]]
) -> None:
    (open_folder / "closed/annotations/training").mkdir(parents=True)
    for closed in (open_folder / "closed/annotations", open_folder / "closed"):
        closed.chmod(0)
        with without_rights(), pytest.raises(DataError) as caught:
            open_data(open_folder / "closed", CONFIG)
        assert str(caught.value).startswith(f"{closed} cannot be read (Permission denied); ")


def test_anything_else_shows_trees_of_both(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no pictures in") as caught:
        open_data(tmp_path, CONFIG)
    for tree in ("FOLDER/CLASS", "FOLDER/masks", "ILSVRC", "path,label", "COCO, CLEVRTex", "MOVi"):
        assert tree in " ".join(str(caught.value).split())
