"""A glance at a model in training: an evaluation's numbers, on scenes that it never asks about."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from stellar.config import EvaluationConfig, ModelConfig, RunConfig
from stellar.data import open_scenes
from stellar.evaluation import glance as module
from stellar.evaluation.evaluate import evaluate
from stellar.evaluation.glance import FIGURES, glance, watching
from stellar.model import Stellar
from stellar.presets import demo


def test_it_tells_what_an_evaluation_would(small: ModelConfig, tmp_path: Path) -> None:
    data = open_scenes(small, 40, 30, test_split="tuning")
    model = Stellar(small).eval()
    (found,) = evaluate({"m": model}, data, tmp_path, EvaluationConfig(num_seeds=1)).models
    expected = []
    for name, quantity in FIGURES.items():
        score = found.score(quantity)
        assert score is not None
        expected.append(
            f"{name} {score.value:.1f} dB" if quantity.unit else f"{name} {score.value:.2f}"
        )
    assert glance(model, data) == ", ".join(expected)


def test_what_is_not_there_is_left_out(small: ModelConfig) -> None:
    data = open_scenes(small, 20, 10, test_split="tuning")
    assert glance(Stellar(replace(small, num_sparse_tokens=0)), data).split()[0] == "ARI"


def test_scenes_are_watched_and_folders_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    assert watching(RunConfig(data="photos")) is None
    seen = []
    monkeypatch.setattr(module, "glance", lambda _model, data: seen.append(data) or "a line")
    look = watching(replace(demo(), data="scenes-on-photographs"))
    assert look is not None
    assert look(Stellar(demo().model)) == "a line"
    assert "test set: tuning" in seen[0].description
    assert "scenes-on-photographs" in seen[0].description


def test_nothing_is_learned_from_it(small: ModelConfig) -> None:
    data = open_scenes(small, 20, 10, test_split="tuning")
    model, state = Stellar(small), torch.get_rng_state()
    first = glance(model, data)
    assert glance(model, data) == first
    assert model.training
    assert torch.equal(torch.get_rng_state(), state)
    assert all(parameter.grad is None for parameter in model.parameters())
