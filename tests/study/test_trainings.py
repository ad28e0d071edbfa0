"""An evaluation of a run is kept for what it was made of, and made again for anything else."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from stellar.config import DecoderConfig, EvaluationConfig, ModelConfig
from stellar.data.labelled import Splits, open_labelled
from stellar.evaluation.metrics import inception, lpips
from stellar.evaluation.report.report_json import read_evaluation
from stellar.model import Stellar
from stellar.study.trainings import EVALUATION, asked_of, judged

QUICK = EvaluationConfig(num_seeds=1, epochs=1)


def folder_of(root: Path, colour: tuple[int, int, int]) -> Splits:
    """Two classes, one dark and one of this colour, in files of the same names."""
    for name, shown in (("dark", (0, 0, 0)), ("light", colour)):
        (root / name).mkdir(parents=True)
        for number in range(5):
            Image.new("RGB", (16, 16), shown).save(root / name / f"{number}.png")
    return open_labelled(root)


@pytest.fixture
def model(small: ModelConfig) -> Stellar:
    return Stellar(small).eval()


def test_other_pictures_of_the_same_names_are_judged(model: Stellar, tmp_path: Path) -> None:
    flowers = folder_of(tmp_path / "flowers", (250, 200, 30))
    birds = folder_of(tmp_path / "birds", (30, 200, 250))
    first = judged("m", model, flowers, tmp_path, QUICK)
    assert judged("m", model, flowers, tmp_path, QUICK) == first
    second = judged("m", model, birds, tmp_path, QUICK)
    assert second != first
    assert read_evaluation(tmp_path / EVALUATION) == second


def test_one_from_before_fingerprints_is_made_again(model: Stellar, tmp_path: Path) -> None:
    data = folder_of(tmp_path / "flowers", (250, 200, 30))
    first = judged("m", model, data, tmp_path, QUICK)
    content = json.loads((tmp_path / EVALUATION).read_text())
    del content["fingerprint"]
    (tmp_path / EVALUATION).write_text(json.dumps(content))
    judged("m", model, data, tmp_path, QUICK)
    assert read_evaluation(tmp_path / EVALUATION).fingerprint == first.fingerprint


def test_it_is_made_again_for_whatever_else_is_asked(model: Stellar, tmp_path: Path) -> None:
    """Also where the words of the settings, which the report shows, are the same."""
    data = folder_of(tmp_path / "flowers", (250, 200, 30))
    small, large = (DecoderConfig("pixels", embed_dim=width, num_heads=2) for width in (32, 64))
    first = judged("m", model, data, tmp_path, QUICK, decoder=small)
    assert judged("m", model, data, tmp_path, QUICK, decoder=small) == first
    attentive = replace(QUICK, attentive=True)
    second = judged("m", model, data, tmp_path, attentive, decoder=small)
    assert second.protocol.keys() > first.protocol.keys()
    judged("m", model, data, tmp_path, QUICK, decoder=large)
    kept = read_evaluation(tmp_path / EVALUATION)
    assert len({first.asked, second.asked, kept.asked}) == 3


def test_what_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other settings and versions, and what weights have been brought since."""
    pytest.importorskip("torchmetrics")
    here = replace(QUICK, metric_weights=tmp_path)
    asked = [asked_of(each, None) for each in (QUICK, here, replace(here, force_fid=True))]
    for file in (lpips.FILE, *inception.FILES[:1]):
        for content in (b"cut", b"whole"):
            (tmp_path / file).write_bytes(content)
            asked.append(asked_of(here, None))
    monkeypatch.setattr("stellar.__version__", "9")
    asked.append(asked_of(here, None))
    assert len(set(asked)) == len(asked)
    assert asked_of(here, None) == asked[-1]
