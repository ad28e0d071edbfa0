"""Trainings side by side: equal budgets, every variant its own, mean and spread over seeds."""

import json
import math
from dataclasses import replace
from pathlib import Path
from statistics import fmean, stdev

import pytest
import torch
from PIL import Image

from stellar.cli import main
from stellar.cli.compare import read_budget
from stellar.config import (
    ConfigError,
    EvaluationConfig,
    RunConfig,
    TrainingConfig,
    ViewConfig,
)
from stellar.configfile import read_run_config, to_toml
from stellar.data.labelled import MaskedSplits
from stellar.data.opening import open_scenes
from stellar.errors import UserError
from stellar.evaluation.measures import NUMBERS
from stellar.evaluation.measures import PSNR_FROZEN as SHARED
from stellar.evaluation.scores import ModelScores, Score
from stellar.study import EVALUATION, ablate, ablations, compare, mean_and_spread, trained, within
from stellar.systems import SYSTEMS
from stellar.training import RunError


@pytest.fixture
def base(small, small_objective) -> RunConfig:
    return RunConfig(
        model=small,
        views=ViewConfig(num_masked=2, num_local=1, local_size=8, masking_ratio=0.5),
        objective=small_objective,
        training=TrainingConfig(steps=4, batch_size=4, num_workers=0, log_every=2, sample_every=0),
    )


@pytest.fixture
def scenes(base: RunConfig) -> MaskedSplits:
    return open_scenes(base.model, 60, 40)


QUICK = EvaluationConfig(num_seeds=1, epochs=1, decoder_steps=2)


def test_all_systems_are_trained_alike_and_judged_alike(
    base: RunConfig, scenes: MaskedSplits, tmp_path: Path
) -> None:
    evaluation = compare(base, scenes, tmp_path, settings=QUICK)
    assert [model.name for model in evaluation.models] == list(SYSTEMS)
    for model in evaluation.models:
        assert read_run_config(tmp_path / f"runs/{model.name}/run.toml").training == base.training
        assert model.score("segmentation", "mIoU, U") is not None
        assert model.score("factorization", "dense to material, kNN") is not None
        assert model.score("reconstruction", "PSNR, decoder on frozen features") is not None
    page = (tmp_path / "report.html").read_text()
    assert "Semantics against reconstruction" in page
    assert all(name in page for name in SYSTEMS)
    before = (tmp_path / "runs/mae/metrics.jsonl").read_bytes()
    again = compare(base, scenes, tmp_path, ["mae"], settings=QUICK)
    assert (tmp_path / "runs/mae/metrics.jsonl").read_bytes() == before
    assert again.models[0].sha256 == evaluation.models[2].sha256


def test_an_unknown_system_is_refused(
    base: RunConfig, scenes: MaskedSplits, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="must be one of stellar, dino, mae, dense, got 'vit'"):
        compare(base, scenes, tmp_path, ["vit"])
    assert not list(tmp_path.iterdir())


def test_another_run_in_the_folder_is_kept(base: RunConfig, tmp_path: Path) -> None:
    trained(base, tmp_path / "run")
    longer = replace(base, training=replace(base.training, steps=5))
    with pytest.raises(RunError, match="a run with other settings"):
        trained(longer, tmp_path / "run")


def test_a_folder_with_a_relative_path_goes_on(
    base: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("pictures").mkdir()
    for number in range(4):
        Image.new("RGB", (20, 20), (60 * number, 90, 120)).save(f"pictures/{number}.png")
    config = replace(base, data="pictures")
    first = trained(config, Path("run")).state_dict()
    again = trained(config, Path("run")).state_dict()
    assert all(torch.equal(again[name], tensor) for name, tensor in first.items())


def test_what_was_not_trained_to_draw_is_judged_by_a_new_decoder_alone(
    base: RunConfig, scenes: MaskedSplits, tmp_path: Path
) -> None:
    """And the control by what passes through its bottleneck, at the size of S and L."""
    evaluation = compare(base, scenes, tmp_path, ["stellar", "mae", "dense"], settings=QUICK)
    whole, mae, dense = evaluation.models
    assert whole.score("reconstruction", "PSNR") is not None
    assert mae.score("reconstruction", "PSNR") is None
    assert SHARED.of(mae) is not None
    sizes = [NUMBERS.of(model) for model in (whole, dense)]
    assert [size.value for size in sizes if size] == pytest.approx([120, 128])
    ari = dense.score("localisation", "ARI")
    assert ari is not None
    assert "k-means on U" in ari.detail
    assert dense.score("factorization", "L to place, kNN") is None


def test_a_budget_in_minutes_becomes_steps(base: RunConfig, tmp_path: Path) -> None:
    runs = {minutes: within(base, minutes, tmp_path / "run") for minutes in (0.02, 5.0)}
    short, long = (run.training.steps for run in runs.values())
    assert short is not None
    assert long is not None
    assert long > 2 * short > 0
    assert replace(runs[0.02], training=base.training) == base
    trained(base, tmp_path / "run")
    assert within(base, 5.0, tmp_path / "run") == base  # one that was begun goes on


@pytest.mark.parametrize("text", ["0", "-3", "ten", "0min", "min", "1.5", "nanmin", "infmin"])
def test_bad_budgets(text: str) -> None:
    with pytest.raises(UserError, match="must be steps, as 500, or minutes, as 10min"):
        read_budget(text)
    assert read_budget("500") == (500, None)
    assert read_budget("1.5min") == (None, 1.5)


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
    base: RunConfig, scenes: MaskedSplits, tmp_path: Path
) -> None:
    name = "without reconstruction"
    quick = replace(QUICK, decoder_steps=0)
    change = {name: ablations(base)[name]}
    evaluation = ablate(base, scenes, tmp_path, change, num_seeds=2, settings=quick)
    assert [model.name for model in evaluation.models] == ["the whole", name]
    score = evaluation.models[0].score("localisation", "ARI")
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


def test_mean_and_spread() -> None:
    values = [1.0, 2.0, 4.0]
    runs = [
        ModelScores("m", "", "", 0, (Score("t", "a", v), *((Score("t", "b", v),) if v < 3 else ())))
        for v in values
    ]
    (score,) = mean_and_spread(runs).scores
    assert (score.name, score.value) == ("a", fmean(values))
    assert score.spread == pytest.approx(stdev(values))
    (alone, _) = mean_and_spread(runs[:1]).scores
    assert alone.spread is None
    assert math.isfinite(alone.value)


def test_from_the_command_line(base: RunConfig, tmp_path: Path, capsys) -> None:
    (tmp_path / "run.toml").write_text(to_toml(base))
    for index in range(12):
        picture = tmp_path / f"pictures/{'ab'[index % 2]}/{index}.png"
        picture.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (16, 16), (20 * index, 100, 255 * (index % 2))).save(picture)
    start = ["--config", str(tmp_path / "run.toml"), "--test", str(tmp_path / "pictures")]
    call = ["compare", "stellar", "mae", *start, "--budget", "2", "--decoder-steps", "0"]
    assert main([*call, "--num-seeds", "1", "--out", str(tmp_path / "comparison")]) == 0
    assert (tmp_path / "comparison/report.html").exists()
    call = ["ablate", "without koleo", *start, "--steps", "2", "--num-seeds", "1"]
    assert main([*call, "--out", str(tmp_path / "ablation")]) == 0
    out = capsys.readouterr().out
    assert "without koleo" in out
    assert "the whole" in out
    kept = tmp_path / "ablation/runs/the-whole-seed-0" / EVALUATION
    kept.write_text(kept.read_text().replace('"num_unreadable"', '"unreadable"'))
    assert main([*call, "--out", str(tmp_path / "ablation")]) == 1
    assert f"error: {kept} is damaged, or from another version" in capsys.readouterr().err
    kept.unlink()
    assert main([*call, "--out", str(tmp_path / "ablation")]) == 0
    assert kept.exists()
    assert main(["ablate", "--list"]) == 0
    assert "16 tokens" in capsys.readouterr().out
    assert main(["ablate", "without colour"]) == 1
    assert "no change of this run" in capsys.readouterr().err
    assert main(["compare", "--budget", "soon"]) == 1
    assert "--budget must be" in capsys.readouterr().err
