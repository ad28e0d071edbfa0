"""The demo, shortened: it trains, judges itself beside its untrained self and the model that comes
with the package, and goes on when called again.
"""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from rich.console import Console

from stellar.data.evaluation_data import open_scenes
from stellar.demo import demo, scores_of_report
from stellar.evaluation.evaluators import what_where
from stellar.evaluation.evaluators.reconstruction import likeness
from stellar.evaluation.evaluators.size_and_speed import ENCODING
from stellar.evaluation.report.report_json import read_evaluation
from stellar.evaluation.scores import ModelScores
from stellar.load_model import load
from stellar.model.files.fingerprint import fingerprint
from stellar.model.files.known_models import REPORT, SHIPPED
from stellar.presets import demo as preset
from stellar.training import pretrain
from stellar.training.run_folder import METRICS, RunError

REPORTED = read_evaluation(SHIPPED["stellar-scenes"] / REPORT)


@pytest.mark.long
def test_a_short_demo(tmp_path: Path, capsys) -> None:
    """Of a model of half the layers, which nobody watches."""
    config = preset().with_steps(25)
    model = replace(config.model, depth=2, decoder=replace(config.model.decoder, depth=1))
    training = replace(config.training, batch_size=16, sample_every=0)
    config = replace(config, model=model, training=training)
    result = demo(tmp_path / "demo", config, num_scenes=40, console=Console(width=120))
    untrained, trained, shipped = result.evaluation.models
    before, after = (psnr(untrained), psnr(trained))
    assert psnr(shipped) > after > before + 2
    page = (tmp_path / "demo/report.html").read_text()
    assert not re.search(r'(src|href)="(?!data:)', page)
    assert f"{after:.1f}" in page
    for section in ("Semantics against reconstruction", "What S and L know", "The training run"):
        assert section in page
    report = json.loads((tmp_path / "demo/report.json").read_text())
    assert [model["name"] for model in report["models"]] == ["untrained", "trained", "shipped"]
    assert (tmp_path / "demo/scenes.png").exists()
    assert f"{after:.1f}" in capsys.readouterr().out


@pytest.mark.long
def test_it_goes_on_with_its_run_and_takes_the_shipped_models_figures_from_its_report(
    tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which is of larger scenes here, and beside a model that does not draw."""
    monkeypatch.setattr(what_where, "MOST_PICTURES", 60)  # it takes most of the time
    config = preset().with_steps(1)
    small = replace(
        config.model, image_size=24, patch_size=12, embed_dim=16, depth=1, num_heads=1,
        num_sparse_tokens=2,
    )  # fmt: skip
    undrawn = replace(config.objective, reconstruction_weight=0.0)
    config = replace(config, model=small, objective=undrawn)
    run = pretrain(config, tmp_path / "demo/run").folder
    before = (run / METRICS).read_bytes()
    result = demo(tmp_path / "demo", config, num_scenes=1000, console=Console(width=120))
    assert (run / METRICS).read_bytes() == before
    untrained, trained, shipped = result.evaluation.models
    assert trained.sha256 == fingerprint(load(run))
    (reported,) = REPORTED.models
    there = {score.quantity for score in shipped.scores}
    assert shipped.scores == tuple(s for s in reported.scores if s.quantity in there)
    assert {s.quantity for s in reported.scores} - there == {ENCODING}
    assert psnr(shipped) > 20
    assert all(model.score(ENCODING) for model in (untrained, trained))
    assert trained.score(likeness("PSNR")) is None
    assert "shipped" in (tmp_path / "demo/report.html").read_text()
    assert not (tmp_path / "demo/scenes.png").exists()
    assert any("stellar evaluate stellar-scenes --data scenes" in note for note in shipped.notes)
    size = load("stellar-scenes").config.image_size
    assert f"shipped: judged on the embedded scenes at {size} px" in capsys.readouterr().out


def test_a_report_of_other_scenes_or_other_weights_is_not_taken() -> None:
    shipped = load("stellar-scenes")
    scenes = open_scenes(shipped.config, 1000, 1000)
    assert scores_of_report(shipped, scenes)
    assert scores_of_report(shipped, open_scenes(shipped.config, 1000, 999)) is None
    assert scores_of_report(shipped, open_scenes(shipped.config, 1000, 1000, seed=1)) is None
    smaller = replace(shipped.config, image_size=24, patch_size=6)
    assert scores_of_report(shipped, open_scenes(smaller, 1000, 1000)) is None
    with torch.no_grad():
        next(shipped.parameters()).add_(1e-3)
    assert scores_of_report(shipped, scenes) is None


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "cat.jpg").touch()
    with pytest.raises(RunError, match="exists and is not a demo; choose another --out"):
        demo(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["cat.jpg"]


def psnr(model: ModelScores) -> float:
    score = model.score(likeness("PSNR"))
    assert score is not None
    return score.value
