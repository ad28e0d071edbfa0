"""Evaluation on a GPU: every number that a CPU gives, and those that are not fitted alike."""

from collections.abc import Callable
from math import isfinite
from pathlib import Path

import torch

from stellar.config import EvaluationConfig, ModelConfig
from stellar.data.evaluation_data import open_scenes
from stellar.data.labelled import open_labelled
from stellar.evaluation.evaluate import evaluate
from stellar.evaluation.evaluators.localisation import agreement_of
from stellar.evaluation.evaluators.reconstruction import likeness
from stellar.load_model import load
from stellar.model import Stellar


def test_scores_are_those_of_a_cpu(tmp_path: Path, gpu: torch.device) -> None:
    cpu, found = torch.device("cpu"), {}
    for device in {cpu, gpu}:  # which a rehearsal has as one
        model = load("stellar-scenes", device)
        scenes = open_scenes(model.config, 24, 24)
        settings = EvaluationConfig(epochs=1, num_seeds=1)
        (scores,) = evaluate({"model": model}, scenes, tmp_path, settings).models
        found[device] = scores
    expected, ours = found[cpu], found[gpu]
    assert [s.quantity for s in ours.scores] == [s.quantity for s in expected.scores]
    assert all(isfinite(score.value) for score in ours.scores)
    for quantity, tolerance in ((likeness("PSNR"), 0.05), (agreement_of("ARI"), 0.02)):
        one, other = (each.score(quantity) for each in (expected, ours))
        assert one is not None
        assert other is not None
        assert abs(one.value - other.value) < tolerance


def test_the_published_protocol_runs(tmp_path: Path, gpu: torch.device, small: ModelConfig) -> None:
    model = Stellar(small).to(gpu).eval()
    scenes = open_scenes(model.config, 24, 24)
    settings = EvaluationConfig(protocol="published", published_epochs=1, num_seeds=1)
    (scores,) = evaluate({"model": model}, scenes, tmp_path, settings).models
    tests = {score.quantity.test for score in scores.scores}
    assert tests == {"published segmentation", "published reconstruction"}
    assert all(isfinite(score.value) for score in scores.scores)


def test_probes_of_labelled_pictures_run(
    tmp_path: Path, gpu: torch.device, small: ModelConfig, coloured: Callable[..., Path]
) -> None:
    model, data = Stellar(small).to(gpu).eval(), open_labelled(coloured())
    for settings, test in (
        (EvaluationConfig(attentive=True, epochs=1, num_seeds=1), "attentive probe"),
        (
            EvaluationConfig(protocol="published", published_epochs=1, num_seeds=1),
            "published linear probe",
        ),
    ):
        (scores,) = evaluate({"model": model}, data, tmp_path, settings).models
        assert test in {score.quantity.test for score in scores.scores}
