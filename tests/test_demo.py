"""The demo, shortened: it trains, judges itself beside its untrained self and the model that comes
with the package, and goes on when called again.
"""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from stellar.demo import demo, with_steps
from stellar.evaluation.evaluators.reconstruction import likeness
from stellar.evaluation.scores import ModelScores
from stellar.load_model import load
from stellar.model.files.fingerprint import fingerprint
from stellar.presets import demo as preset
from stellar.training import pretrain
from stellar.training.run_folder import METRICS


@pytest.mark.long
def test_a_short_demo(tmp_path: Path, capsys) -> None:
    config = with_steps(preset(), 25)
    config = replace(config, training=replace(config.training, batch_size=16))
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


def test_it_goes_on_with_its_run_and_other_scenes_leave_the_shipped_model_out(
    tmp_path: Path, capsys
) -> None:
    config = with_steps(preset(), 1)
    config = replace(config, model=replace(config.model, image_size=24, patch_size=12))
    run = pretrain(config, tmp_path / "demo/run").folder
    before = (run / METRICS).read_bytes()
    result = demo(tmp_path / "demo", config, num_scenes=20, console=Console(width=120))
    assert (run / METRICS).read_bytes() == before
    assert [model.name for model in result.evaluation.models] == ["untrained", "trained"]
    assert result.evaluation.models[1].sha256 == fingerprint(load(run))
    assert "stellar-scenes is left out: it was trained on" in capsys.readouterr().out


def psnr(model: ModelScores) -> float:
    score = model.score(likeness("PSNR"))
    assert score is not None
    return score.value
