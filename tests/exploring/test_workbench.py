"""Looking and editing give what the model gives by itself."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

import stellar
from stellar.config import ModelConfig
from stellar.data import ImageFolder, open_embedded
from stellar.exploring import ExploreError, Gallery, Workbench
from stellar.exploring.steps import Duplicate, Scale
from stellar.exploring.workbench import Named
from stellar.images import InputError, UnreadableImage
from stellar.model import Stellar


def test_a_look_is_what_the_model_says(workbench: Workbench) -> None:
    model, source = workbench.models[0].model, workbench.gallery.source
    look = workbench.look("3", 0)
    factors = model.encode(source.read(3))
    assert torch.equal(look.factors.spatial, factors.spatial)
    assert look.drawing is not None
    assert torch.allclose(look.drawing, model.reconstruct(factors)[0], atol=1e-6)
    assert look.size == (48, 48)
    assert look.frame == (0, 0, 48, 48)
    error = (source.read(3) / 255 - look.drawing).square().mean()
    assert look.psnr == pytest.approx(-10 * torch.log10(error).item(), abs=1e-3)


def test_an_edit_changes_maps_and_drawing(workbench: Workbench) -> None:
    look, edited = (
        workbench.look("3", 0),
        workbench.look("3", 0, [Scale(0, 0.0), Duplicate(1, 2, 2)]),
    )
    assert edited.factors.maps.shape[1] == look.factors.maps.shape[1] + 1
    assert edited.where.share[0] == 0
    assert edited.drawing is not None
    assert look.drawing is not None
    assert not torch.allclose(edited.drawing, look.drawing, atol=1e-2)
    assert torch.equal(workbench.look("3", 0).factors.spatial, look.factors.spatial)


def test_a_wide_picture_is_seen_in_its_middle_or_whole(photos: Path) -> None:
    named = [Named("stellar-scenes", stellar.load("stellar-scenes"))]
    gallery = Gallery(ImageFolder(photos), "photos")
    cropped, whole = Workbench(named, gallery), Workbench(named, gallery, "squash")
    assert cropped.look("0", 0).frame == (10, 0, 60, 60)
    assert whole.look("0", 0).frame == (0, 0, 80, 60)
    assert whole.look("0", 0).image.shape == (3, 48, 48)


def test_a_picture_that_changes_while_the_page_is_open_is_seen_as_it_is(photos: Path) -> None:
    model = stellar.load("stellar-scenes")
    gallery = Gallery(ImageFolder(photos), "photos")
    workbench = Workbench([Named("stellar-scenes", model)], gallery)
    before, small = workbench.look("0", 0), gallery.thumbnail("0", 3)
    assert workbench.encoded("0", 0) is workbench.encoded("0", 0)
    Image.new("RGB", (80, 60), "red").save(photos / "00.png")
    after = workbench.look("0", 0)
    assert not torch.equal(before.image, after.image)
    assert torch.equal(after.factors.spatial, model.encode(photos / "00.png").spatial)
    assert gallery.thumbnail("0", 3) != small
    (photos / "00.png").unlink()
    with pytest.raises(UnreadableImage):
        workbench.look("0", 0)


def test_models_that_do_not_fit(small: ModelConfig) -> None:
    model = Stellar(small)
    gallery = Gallery(open_embedded("scenes", "heldout", small, length=3), "scenes")
    dense = Stellar(replace(small, num_sparse_tokens=0))
    with pytest.raises(ExploreError, match="dense has no tokens to look at"):
        Workbench([Named("dense", dense)], gallery)
    grey = Stellar(replace(small, in_chans=1, image_mean=(0.5,), image_std=(0.2,)))
    with pytest.raises(ExploreError, match="of 3 channels, grey for 1"):
        Workbench([Named("colour", model), Named("grey", grey)], gallery)
    with pytest.raises(InputError, match="fit must be crop or squash, got pad"):
        Workbench([Named("colour", model)], gallery, "pad")


@pytest.mark.parametrize(
    ("question", "message"),
    [
        (lambda bench: bench.look("3", 1), "there is no model 1"),
        (
            lambda bench: bench.look("3", 0, [Scale(12, 1.0)]),
            "the tokens are 0 to 11, got token 12",
        ),
    ],
)
def test_questions_without_an_answer(workbench: Workbench, question, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        question(workbench)
