"""A decoder on frozen features learns to draw, the same way every time, and leaves the model as it
was.
"""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from stellar.config import DecoderConfig, EvaluationConfig, ModelConfig
from stellar.data.folder import DataError
from stellar.data.labelled import MaskedSplits
from stellar.data.scenes import CLASSES, Scenes
from stellar.evaluation.evaluators.frozen_decoder import frozen_reconstruction, train_decoder
from stellar.evaluation.evaluators.reconstruction import psnr
from stellar.evaluation.subject import Subject
from stellar.images import InputError, unit_range
from stellar.model import Backbone, Stellar

SMALL = DecoderConfig(target="pixels", embed_dim=32, depth=2, num_heads=2)


class Unreadable(Scenes):
    def read(self, index: int) -> torch.Tensor:
        raise InputError(f"{index} is broken")


def subject_of(model: Stellar, folder: Path, steps: int) -> Subject:
    train, test = (Scenes(split, size=16, length=40) for split in ("train", "heldout"))
    settings = EvaluationConfig(decoder_steps=steps, num_seeds=2, metric_weights=folder)
    data = MaskedSplits(train, test, CLASSES, "scenes")
    return Subject("model", model, data, settings, folder, SMALL)


@pytest.fixture(params=["ours", "theirs"])
def model(request: pytest.FixtureRequest, small: ModelConfig) -> Stellar:
    if request.param == "ours":
        return Stellar(small).eval()
    return Backbone(replace(small, num_sparse_tokens=0)).eval()


def test_learns_to_draw_with_steps(model: Stellar, tmp_path: Path) -> None:
    heldout = Scenes("heldout", size=16)
    pictures = torch.stack([heldout.read(index) for index in range(40)])
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    decibels = []
    for steps in (1, 20):
        drawn = train_decoder(subject_of(model, tmp_path, steps), 0).draw(pictures)
        decibels.append(psnr(unit_range(pictures), drawn).mean().item())
    assert decibels[1] > decibels[0] + 0.5
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_seed_decides_everything(model: Stellar, tmp_path: Path) -> None:
    subject, pictures = subject_of(model, tmp_path, 3), torch.rand(2, 3, 16, 16)
    drawn = []
    for seed in (0, 0, 1):
        torch.rand(seed + 5)  # whatever was drawn before
        drawn.append(train_decoder(subject, seed).draw(pictures))
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


def test_scores_have_mean_and_spread_over_seeds_and_none_without_steps(
    model: Stellar, tmp_path: Path
) -> None:
    scores = {s.quantity.name: s for s in frozen_reconstruction(subject_of(model, tmp_path, 1))}
    assert set(scores) == {"PSNR", "SSIM", "Frechet distance, random convolutions"}
    tests = {score.quantity.test for score in scores.values()}
    assert tests == {"reconstruction, decoder on frozen features"}
    assert all(score.spread is not None for score in scores.values())
    assert not list(frozen_reconstruction(subject_of(model, tmp_path, 0)))


def test_nothing_to_train_on(model: Stellar, tmp_path: Path) -> None:
    subject = subject_of(model, tmp_path, 1)
    data = replace(subject.data, train=Unreadable("train", size=16, length=5))
    with pytest.raises(DataError, match="none of 5 training pictures can be read"):
        train_decoder(replace(subject, data=data), 0)
