"""An evaluation of a run is kept for what it was made of, and made again for anything else."""

import json
from pathlib import Path

import pytest
from PIL import Image

from stellar.config import EvaluationConfig, ModelConfig
from stellar.data.labelled import Splits, open_labelled
from stellar.evaluation.report.report_json import read_evaluation
from stellar.model import Stellar
from stellar.study.trainings import EVALUATION, judged

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
