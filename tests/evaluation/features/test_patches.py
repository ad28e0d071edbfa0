"""Patch features on the disk, and the share of each class in each patch."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from stellar.config import ModelConfig
from stellar.data.labelled import MaskedFiles, MaskedSplits, Masks
from stellar.errors import UserError
from stellar.evaluation.features import patches
from stellar.evaluation.features.patches import class_shares, extract_patches, stacked_masks
from stellar.images import InputError, Pixels, fitted
from stellar.model import Backbone, Stellar

CPU = torch.device("cpu")


@pytest.mark.parametrize("batch_size", [1, 4, 64])
def test_every_row_is_what_the_model_says(
    mosaics: Callable[..., MaskedSplits], small: ModelConfig, tmp_path: Path, batch_size: int
) -> None:
    model, source = Stellar(small).eval(), mosaics((30, 22), num_train=7).train
    steps = []
    found = extract_patches(
        model, source, 4, tmp_path, batch_size, progress=lambda *step: steps.append(step)
    )
    assert (len(found), found.num_classes, found.grid) == (7, 4, (4, 4))
    assert steps[-1] == (7, 7)
    batch = found.read([5, 2], CPU)
    for row, index in enumerate((5, 2)):
        with torch.no_grad():
            factors = model.encode(fitted(source.read(index), "squash", small)[None])
        for ours, theirs in (
            (batch.dense, factors.dense),
            (batch.sparse, factors.sparse),
            (batch.spatial, factors.spatial),
        ):
            assert torch.cosine_similarity(ours[row].flatten(), theirs.flatten(), 0) > 0.999
        shares = class_shares(source.masks(index).classes, (4, 4), 4)
        torch.testing.assert_close(batch.shares[row], shares, atol=1e-3, rtol=0)
    assert {np.load(tmp_path / f"{name}.npy").dtype.name for name in "USLH"} == {"float16"}


def test_a_backbone_has_no_tokens(
    mosaics: Callable[..., MaskedSplits], small: ModelConfig, tmp_path: Path
) -> None:
    backbone = Backbone(replace(small, num_sparse_tokens=0)).eval()
    batch = extract_patches(backbone, mosaics().train, 4, tmp_path).read([0, 1], CPU)
    assert batch.dense.shape == (2, 16, 24)
    assert (batch.sparse.shape, batch.spatial.shape) == ((2, 0, 24), (2, 16, 0))


def test_pictures_that_cannot_be_read_are_left_out(
    mosaics: Callable[..., MaskedSplits], small: ModelConfig, tmp_path: Path
) -> None:
    source = mosaics(num_train=5).train
    read = source.read

    def broken(index: int) -> torch.Tensor:
        if index == 2:
            raise InputError("it is torn")
        return read(index)

    source.read = broken  # a file that is damaged
    found = extract_patches(Stellar(small).eval(), source, 4, tmp_path)
    assert found.places.tolist() == [0, 1, 3, 4]
    assert [name for name, _ in found.unreadable] == ["mosaic 2"]


def test_shares_are_adaptive_averages_of_each_class_where_patches_hold_whole_pixels() -> None:
    classes = torch.randint(5, (12, 20)).byte()
    classes[classes == 4] = 255
    found = class_shares(classes, (4, 5), 4)
    one_hot = torch.stack([classes == c for c in range(4)]).float()
    expected = F.adaptive_avg_pool2d(one_hot, (4, 5)).flatten(1).T
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("size", [(13, 7), (4, 4), (3, 9), (1, 1)])
def test_a_pixel_belongs_to_the_patch_of_its_centre(size: tuple[int, int]) -> None:
    classes = torch.randint(3, size).byte()
    counts = torch.zeros(4, 4, 3)
    for y in range(size[0]):
        for x in range(size[1]):
            row, column = int((y + 0.5) / size[0] * 4), int((x + 0.5) / size[1] * 4)
            counts[row, column, classes[y, x].long()] += 1
    expected = counts / counts.sum(dim=2, keepdim=True).clamp_min(1)
    torch.testing.assert_close(class_shares(classes, (4, 4), 3), expected.flatten(0, 1))


def test_ignored_pixels_have_no_share() -> None:
    nothing = class_shares(torch.full((8, 8), 255, dtype=torch.uint8), (2, 2), 3)
    assert nothing.shape == (4, 3)
    assert not nothing.any()


def test_a_mask_that_cannot_be_read_is_one_sentence(small: ModelConfig, tmp_path: Path) -> None:
    """A picture can be spared; a mask that is wrong may stand for many."""
    for name, size in (("0", (8, 8)), ("1", (8, 6))):
        Image.new("RGB", (8, 8)).save(tmp_path / f"{name}.png")
        Image.new("L", size).save(tmp_path / f"{name}-mask.png")
    masks = {b"0.png": b"0-mask.png", b"1.png": b"1-mask.png"}
    source = MaskedFiles(tmp_path, masks, ("ground", "thing"), {0: 0, 1: 1})
    with pytest.raises(UserError, match=r"1-mask\.png.*must be of one size"):
        extract_patches(Stellar(small).eval(), source, 2, tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())


class Numbered:
    """Pictures of three sizes, whose masks are of their numbers."""

    SIZES = ((4, 6), (6, 4), (4, 6), (5, 5), (4, 6), (6, 4))
    channels = 3

    def __len__(self) -> int:
        return len(self.SIZES)

    def read(self, index: int) -> Pixels:
        return torch.zeros(3, *self.SIZES[index], dtype=torch.uint8)

    def name(self, index: int) -> str:
        return str(index)

    def masks(self, index: int) -> Masks:
        classes = torch.full(self.SIZES[index], index, dtype=torch.uint8)
        return Masks(classes, torch.zeros_like(classes), {})


@pytest.mark.parametrize(("at_once", "most"), [(1 << 24, 3), (2 * 24 * 3, 2), (1, 1)])
def test_masks_of_one_size_are_stacked_as_far_as_there_is_room(
    monkeypatch: pytest.MonkeyPatch, at_once: int, most: int
) -> None:
    monkeypatch.setattr(patches, "AT_ONCE", at_once)
    places = [5, 4, 3, 2, 1, 0]
    # Three numbers for each of 24 pixels.
    found = list(stacked_masks(Numbered(), places, 3))
    assert max(len(some) for some, _ in found) == most
    assert sorted(index for some, _ in found for index in some) == list(range(6))
    for some, stacked in found:
        for index, mask in zip(some, stacked, strict=True):
            assert torch.equal(mask, Numbered().masks(places[index]).classes)
