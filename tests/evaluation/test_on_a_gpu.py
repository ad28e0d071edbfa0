"""Evaluation on a GPU: every number that a CPU gives, and those that are not fitted alike."""

from math import isfinite
from pathlib import Path

import torch

from stellar.config import EvaluationConfig
from stellar.data.evaluation_data import open_scenes
from stellar.evaluation.evaluate import evaluate
from stellar.evaluation.evaluators.localisation import agreement_of
from stellar.evaluation.evaluators.reconstruction import likeness
from stellar.load_model import load


def test_scores_are_those_of_a_cpu(tmp_path: Path, gpu: torch.device) -> None:
    found = []
    for device in (torch.device("cpu"), gpu):
        model = load("stellar-scenes", device)
        scenes = open_scenes(model.config, 24, 24)
        settings = EvaluationConfig(epochs=1, num_seeds=1)
        (scores,) = evaluate({"model": model}, scenes, tmp_path, settings).models
        found.append(scores)
    expected, ours = found
    assert [s.quantity for s in ours.scores] == [s.quantity for s in expected.scores]
    assert all(isfinite(score.value) for score in ours.scores)
    for quantity, tolerance in ((likeness("PSNR"), 0.05), (agreement_of("ARI"), 0.02)):
        one, other = (each.score(quantity) for each in (expected, ours))
        assert one is not None
        assert other is not None
        assert abs(one.value - other.value) < tolerance
