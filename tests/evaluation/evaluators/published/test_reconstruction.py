"""The published reconstruction probe: learns, is the same every time, and is judged on crops."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from stellar.config import DecoderConfig, EvaluationConfig, ModelConfig
from stellar.data.labelled import MaskedSplits
from stellar.data.scenes import CLASSES, Scenes
from stellar.evaluation.evaluators.published.reconstruction import (
    TEST,
    drawn_by,
    published_reconstruction,
    train_probe,
)
from stellar.evaluation.evaluators.reconstruction import likeness
from stellar.evaluation.subject import Subject
from stellar.images import unit_range
from stellar.model import Backbone, Stellar
from stellar.model.vqgan import VQGAN, VQGANConfig

SMALL = DecoderConfig(target="pixels", embed_dim=32, depth=2, num_heads=2)


def subject_of(model: Stellar, folder: Path, epochs: int) -> Subject:
    train, test = (Scenes(split, size=24, length=40) for split in ("train", "heldout"))
    settings = EvaluationConfig(
        protocol="published", published_epochs=epochs, num_seeds=2, metric_weights=folder
    )
    data = MaskedSplits(train, test, CLASSES, "scenes")
    return Subject("model", model, data, settings, folder, SMALL)


def drawing_codes(small: ModelConfig) -> Stellar:
    """A model of the small size that draws the codes of a small tokenizer, one for each patch."""
    size = VQGANConfig(channels=32, multipliers=(1, 1, 1), num_blocks=1, code_dim=8, num_codes=16)
    decoder = replace(small.decoder, target="codes", num_codes=16)
    return Stellar(replace(small, decoder=decoder), VQGAN(size).eval()).eval()


@pytest.fixture(params=["pixels", "codes", "theirs"])
def model(request: pytest.FixtureRequest, small: ModelConfig) -> Stellar:
    if request.param == "theirs":
        return Backbone(replace(small, num_sparse_tokens=0)).eval()
    return drawing_codes(small) if request.param == "codes" else Stellar(small).eval()


def test_learns_and_leaves_the_model_as_it_was(model: Stellar, tmp_path: Path) -> None:
    pictures = torch.stack([Scenes("heldout", size=16).read(index) for index in range(20)])
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    losses = []
    for epochs in (1, 60):
        probe = train_probe(subject_of(model, tmp_path, epochs), 0)
        with torch.no_grad():
            losses.append(probe.loss(pictures).item())
    assert losses[1] < 0.95 * losses[0]
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    drawn = probe.draw(pictures)
    assert drawn.shape == (20, 3, 16, 16)
    assert drawn.min() >= 0
    assert drawn.max() <= 1


def test_the_loss_of_pixels_is_ten_times_their_squared_error(
    small: ModelConfig, tmp_path: Path
) -> None:
    probe = train_probe(subject_of(Stellar(small).eval(), tmp_path, 1), 0)
    pictures = torch.rand(4, 3, 16, 16)
    expected = 10 * (probe._predicted(pictures)[0] - unit_range(pictures)).square().mean()
    torch.testing.assert_close(probe.loss(pictures), expected)


def test_a_seed_decides_everything(model: Stellar, tmp_path: Path) -> None:
    subject, pictures = subject_of(model, tmp_path, 2), torch.rand(2, 3, 16, 16)
    weights = []
    for seed in (0, 0, 1):
        torch.rand(seed + 5)  # whatever was drawn before
        weights.append(train_probe(subject, seed).decoder.proj.weight)
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    assert train_probe(subject, 0).draw(pictures).shape == pictures.shape


def test_codes_and_pixels_are_numbers_of_their_own(model: Stellar, tmp_path: Path) -> None:
    scores = list(published_reconstruction(subject_of(model, tmp_path, 1)))
    assert {score.quantity for score in scores} == {
        drawn_by(metric, model.config.decoder.target)
        for metric in ("PSNR", "SSIM", "Frechet distance")
    }
    assert {score.quantity.test for score in scores} == {TEST}
    assert all("1 epoch, not the 20 that are published; 40 test" in s.detail for s in scores)
    assert all(score.spread is not None for score in scores)
    ours = {likeness(metric) for metric in ("PSNR", "SSIM", "Frechet distance")}
    assert not ours & {score.quantity for score in scores}


def test_a_model_that_draws_codes_needs_its_tokenizer(small: ModelConfig, tmp_path: Path) -> None:
    model = drawing_codes(small)
    model.tokenizer = None
    subject = subject_of(model, tmp_path, 1)
    assert not list(published_reconstruction(subject))
    assert "needs its tokenizer" in subject.notes[0]
