"""The objective taken apart: one change each, mean and spread over trainings."""

import json
import math
from dataclasses import replace
from pathlib import Path
from statistics import fmean, stdev

import pytest

from stellar.config import (
    EvaluationConfig,
    RunConfig,
)
from stellar.config_toml import to_toml
from stellar.data.labelled import MaskedSplits
from stellar.evaluation.evaluators.localisation import agreement_of
from stellar.evaluation.scores import ModelScores, Quantity, Score
from stellar.study.ablate import ablate, ablations
from stellar.study.trainings import EVALUATION, mean_and_spread
from stellar.training import RunError


def test_ablations_change_one_thing_each(base: RunConfig) -> None:
    changes = ablations(base)
    assert sum(name.startswith("without ") for name in changes) == 7
    assert {"4 tokens", "64 tokens", "dot products", "temperature 0.02"} < changes.keys()
    for name, change in changes.items():
        other = change(base)
        fields = [
            (part, field)
            for part in ("model", "objective", "views", "training")
            for field in getattr(base, part).__dataclass_fields__
            if getattr(getattr(base, part), field) != getattr(getattr(other, part), field)
        ]
        assert len(fields) == 1, name


def test_ablation_gives_mean_and_spread_over_trainings(
    base: RunConfig, scenes: MaskedSplits, tmp_path: Path, quick: EvaluationConfig
) -> None:
    name = "without reconstruction"
    quick = replace(quick, decoder_steps=0)
    change = {name: ablations(base)[name]}
    evaluation = ablate(base, scenes, tmp_path, change, num_seeds=2, settings=quick)
    assert [model.name for model in evaluation.models] == ["the whole", name]
    score = evaluation.models[0].score(agreement_of("ARI"))
    assert score is not None
    assert score.spread is not None
    assert score.spread > 0
    assert (tmp_path / "runs/without-reconstruction-seed-1/run.toml").exists()
    assert json.loads((tmp_path / "report.json").read_text())["models"][1]["name"] == name
    kept = tmp_path / "runs/the-whole-seed-0" / EVALUATION
    again = [kept.stat().st_mtime_ns]
    assert ablate(base, scenes, tmp_path, change, num_seeds=2, settings=quick) == evaluation
    again.append(kept.stat().st_mtime_ns)
    ablate(base, scenes, tmp_path, {}, num_seeds=1, settings=replace(quick, epochs=2))
    again.append(kept.stat().st_mtime_ns)
    assert again[0] == again[1] < again[2], "made again for other settings alone"


def test_nothing_is_trained_where_the_folder_holds_a_run_with_other_settings(
    base: RunConfig, scenes: MaskedSplits, tmp_path: Path
) -> None:
    last = tmp_path / "runs/without-koleo-seed-1"
    last.mkdir(parents=True)
    (last / "run.toml").write_text(to_toml(base))
    change = {"without koleo": ablations(base)["without koleo"]}
    other = r"objective.koleo_weight: 0.1 there, 0.0 asked; training.seed: 0 there, 1 asked\)"
    with pytest.raises(RunError, match=other):
        ablate(base, scenes, tmp_path, change, num_seeds=2)
    assert list((tmp_path / "runs").iterdir()) == [last]


def test_mean_and_spread() -> None:
    values = [1.0, 2.0, 4.0]
    a, b = Quantity("t", "a", "a"), Quantity("t", "b", "b")
    runs = [
        ModelScores(
            "m", "", "", 0, (Score(a, v, "of 9 objects"), *((Score(b, v),) if v < 3 else ()))
        )
        for v in values
    ]
    (score,) = mean_and_spread(runs).scores
    assert (score.quantity, score.value, score.detail) == (a, fmean(values), "of 9 objects")
    assert score.spread == pytest.approx(stdev(values))
    (alone, _) = mean_and_spread(runs[:1]).scores
    assert alone.spread is None
    assert math.isfinite(alone.value)
