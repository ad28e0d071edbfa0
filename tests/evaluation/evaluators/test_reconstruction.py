"""What is drawn again is judged by every measure that can be taken; the others say what they
need.
"""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio

from stellar.config import EvaluationConfig, ModelConfig
from stellar.data.labelled import MaskedSplits
from stellar.data.scenes import CLASSES, Scenes
from stellar.errors import UserError
from stellar.evaluation.evaluate import evaluate
from stellar.evaluation.evaluators.reconstruction import (
    TEST,
    draw_again,
    judge,
    psnr,
    reconstruction,
)
from stellar.evaluation.metrics import inception, lpips
from stellar.evaluation.metrics.frechet import Moments, RandomConvolutions, frechet_distance
from stellar.evaluation.metrics.ssim import ssim
from stellar.evaluation.subject import Subject
from stellar.images import unit_range
from stellar.model import Backbone, Stellar

OFFLINE = "Frechet distance, random convolutions"


def test_agrees_with_scikit_image() -> None:
    images, noise = torch.rand(3, 3, 8, 10), torch.rand(3, 3, 8, 10)
    expected = [
        peak_signal_noise_ratio(a.numpy(), b.numpy(), data_range=1)
        for a, b in zip(images, noise, strict=True)
    ]
    assert psnr(images, noise).tolist() == pytest.approx(expected, abs=1e-5)


def test_known_and_perfect_values() -> None:
    black = torch.zeros(2, 3, 4, 4)
    assert psnr(black, black + 0.1).tolist() == pytest.approx([20, 20], abs=1e-5)
    assert psnr(black, black).tolist() == [float("inf")] * 2


def subject_of(
    model: Stellar,
    folder: Path,
    settings: EvaluationConfig,
    size: int = 16,
    count: int = 10,
) -> Subject:
    train, test = (Scenes(split, size=size, length=count) for split in ("train", "heldout"))
    data = MaskedSplits(train, test, CLASSES, "scenes")
    return Subject("model", model, data, settings, folder)


@pytest.fixture
def empty(tmp_path: Path) -> EvaluationConfig:
    """Where no weights are."""
    return EvaluationConfig(batch_size=4, metric_weights=tmp_path)


def test_weights_are_looked_for_in_a_folder_that_is_there(
    small: ModelConfig, tmp_path: Path
) -> None:
    settings = EvaluationConfig(metric_weights=tmp_path / "no")
    subject = subject_of(Stellar(small), tmp_path, settings)
    with pytest.raises(UserError, match=r"the folder of the weights, but .*no is none"):
        evaluate({"model": subject.model}, subject.data, tmp_path, settings)


def test_every_measure_is_that_of_all_drawings_whatever_the_batches(
    small: ModelConfig, tmp_path: Path, empty: EvaluationConfig
) -> None:
    model = Stellar(small).eval()
    found = {s.quantity.name: s for s in reconstruction(subject_of(model, tmp_path, empty))}
    heldout = Scenes("heldout", size=16)
    images = torch.stack([heldout.read(index) for index in range(10)])
    drawn, pictures = draw_again(model, images)[1], unit_range(images)
    features = [RandomConvolutions()(side) for side in (pictures, drawn)]
    expected = {
        "PSNR": psnr(pictures, drawn).mean().item(),
        "SSIM": ssim(pictures, drawn).mean().item(),
        OFFLINE: frechet_distance(*map(Moments.of, features)),
    }
    assert {name: score.value for name, score in found.items()} == pytest.approx(expected, abs=1e-4)
    assert {score.detail for score in found.values()} == {"10 test pictures"}


def test_pictures_are_spread_evenly_and_fitted(
    small: ModelConfig, tmp_path: Path, empty: EvaluationConfig
) -> None:
    seen = []

    def draw(images: torch.Tensor) -> torch.Tensor:
        seen.append(images)
        return torch.rand(images.shape)

    subject = subject_of(Stellar(small), tmp_path, replace(empty, num_drawn=4), size=24)
    list(judge(subject, subject.data.test, draw, TEST))
    assert sum(len(images) for images in seen) == 4
    assert seen[0].shape == (4, 3, 16, 16)
    everything = replace(subject, settings=replace(empty, num_drawn=0))
    scores = judge(everything, everything.data.test, draw, TEST)
    assert {score.detail for score in scores} == {"10 test pictures"}


def test_notes_say_what_is_missing(
    small: ModelConfig, tmp_path: Path, empty: EvaluationConfig
) -> None:
    model = Stellar(replace(small, image_size=32)).eval()
    subject = subject_of(model, tmp_path, empty, size=32)
    list(reconstruction(subject))
    lpips_note, fid_note = subject.notes
    assert lpips_note.startswith(f"LPIPS needs {lpips.FILE}: download it from https://")
    assert fid_note.startswith("rFID needs at least 2,000 pictures, and 10 are drawn")
    list(reconstruction(subject))
    assert len(subject.notes) == 2, "each is said once"

    forced = subject_of(model, tmp_path, replace(empty, force_fid=True))
    list(reconstruction(forced))
    assert forced.notes[1].startswith(f"rFID needs {inception.FILES[0]}: download")


def test_small_and_grey_pictures(
    small: ModelConfig, tmp_path: Path, empty: EvaluationConfig
) -> None:
    tiny = subject_of(Stellar(replace(small, image_size=8)).eval(), tmp_path, empty)
    assert {score.quantity.name for score in reconstruction(tiny)} == {"PSNR", OFFLINE}
    assert "SSIM needs at least 11 pixels a side, the model's pictures have 8" in tiny.notes
    assert "LPIPS needs 31 pixels a side, the model's pictures have 8" in tiny.notes


def test_with_all_weights_a_forced_rfid_is_marked(
    small: ModelConfig, tmp_path: Path, empty: EvaluationConfig
) -> None:
    """On random weights, in the files' true format."""
    features = lpips.LPIPS().state_dict()
    torch.save({k: v for k, v in features.items() if "features" in k}, tmp_path / lpips.FILE)
    torch.save(inception.Inception().state_dict(), tmp_path / inception.FILES[0])
    model = Stellar(replace(small, image_size=32)).eval()
    subject = subject_of(model, tmp_path, replace(empty, force_fid=True), size=32, count=4)
    scores = {score.quantity.name: score for score in reconstruction(subject)}
    assert scores["LPIPS, AlexNet"].value > 0
    marked = scores["rFID, forced: of too few pictures"]
    assert marked.value > 0
    assert marked.detail == "4 test pictures"
    assert "rFID" not in scores
    assert not subject.notes


def test_a_model_that_cannot_draw_is_told_how_it_could(
    small: ModelConfig, tmp_path: Path, empty: EvaluationConfig
) -> None:
    for model in (Backbone(replace(small, num_sparse_tokens=0)), Stellar(small, draws=False)):
        subject = subject_of(model, tmp_path, empty)
        assert not list(reconstruction(subject))
        assert "--decoder-steps 2000" in subject.notes[0]
