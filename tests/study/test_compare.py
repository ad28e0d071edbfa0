"""The systems side by side: equal budgets, the same tests."""

from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from PIL import Image

from stellar.cli import main
from stellar.cli.compare import read_budget
from stellar.config import (
    ConfigError,
    EvaluationConfig,
    RunConfig,
)
from stellar.config_toml import read_run_config, to_toml
from stellar.data.labelled import MaskedSplits
from stellar.errors import UserError
from stellar.evaluation.evaluators import frozen_decoder
from stellar.evaluation.evaluators.localisation import agreement_of
from stellar.evaluation.evaluators.reconstruction import likeness
from stellar.evaluation.evaluators.segmentation import quality
from stellar.evaluation.evaluators.size_and_speed import NUMBERS
from stellar.evaluation.evaluators.what_where import accuracy
from stellar.evaluation.scores import Evaluation
from stellar.study.compare import BUDGET, compare
from stellar.study.systems import SYSTEMS
from stellar.study.trainings import EVALUATION
from stellar.training import RunError


@dataclass(frozen=True)
class Compared:
    """All systems, and where their runs and the report lie."""

    folder: Path
    evaluation: Evaluation


@pytest.fixture(scope="module")
def compared(
    base: RunConfig,
    scenes: MaskedSplits,
    quick: EvaluationConfig,
    tmp_path_factory: pytest.TempPathFactory,
) -> Compared:
    folder = tmp_path_factory.mktemp("compared")
    return Compared(folder, compare(base, scenes, folder, num_seeds=2, settings=quick))


def test_all_systems_are_trained_alike_and_judged_alike(
    base: RunConfig, scenes: MaskedSplits, quick: EvaluationConfig, compared: Compared
) -> None:
    folder, evaluation = compared.folder, compared.evaluation
    assert [model.name for model in evaluation.models] == list(SYSTEMS)
    lengths = ", ".join(f"{name} 4 steps" for name in SYSTEMS)
    assert evaluation.protocol["trained for"] == lengths
    for model in evaluation.models:
        for seed in (0, 1):
            run = read_run_config(folder / f"runs/{model.name}-seed-{seed}/run.toml")
            assert run.training == replace(base.training, seed=seed)
        assert model.score(quality("mIoU", "U")) is not None
        assert model.score(accuracy("U", "class", "kNN")) is not None
        psnr = frozen_decoder.PSNR.of(model)
        assert psnr is not None
        assert psnr.spread is not None
    page = (folder / "report.html").read_text()
    assert "Semantics against reconstruction" in page
    assert all(name in page for name in SYSTEMS)
    metrics = folder / "runs/mae-seed-0/metrics.jsonl"
    before = metrics.read_bytes()
    again = compare(base, scenes, folder, ["mae", "stellar"], num_seeds=2, settings=quick)
    tests = {score.quantity.test for model in again.models for score in model.scores}
    assert tests <= again.protocol.keys()
    assert metrics.read_bytes() == before
    assert again.models[0] == evaluation.models[3]


def test_an_unknown_system_is_refused(
    base: RunConfig, scenes: MaskedSplits, tmp_path: Path
) -> None:
    with pytest.raises(
        ConfigError, match="must be one of stellar, slots, dino, mae, dense, got 'vit'"
    ):
        compare(base, scenes, tmp_path, ["vit"])
    assert not list(tmp_path.iterdir())


def test_runs_of_another_budget_are_not_compared(
    base: RunConfig, scenes: MaskedSplits, tmp_path: Path
) -> None:
    run = tmp_path / "runs/mae-seed-0"
    run.mkdir(parents=True)
    (run / "run.toml").write_text(to_toml(base))
    for begun, minutes, asked in (
        ("an unknown budget", 5.0, "5 minutes"),
        ("20 minutes", 5.0, "5 minutes"),
        ("20 minutes", None, "4 steps"),
        ("500 steps", 5.0, "5 minutes"),
    ):
        if begun != "an unknown budget":
            (tmp_path / BUDGET).write_text(begun)
        with pytest.raises(RunError, match=f"holds runs of {begun}, and {asked} are asked"):
            compare(base, scenes, tmp_path, ["mae"], minutes)


def test_a_run_may_count_epochs(
    base: RunConfig, scenes: MaskedSplits, quick: EvaluationConfig, tmp_path: Path
) -> None:
    (tmp_path / "pictures").mkdir()
    for number in range(4):
        Image.new("RGB", (16, 16), (60 * number, 90, 120)).save(tmp_path / f"pictures/{number}.png")
    training = replace(base.training, steps=None, epochs=2.0)
    epochs = replace(base, data=str(tmp_path / "pictures"), training=training)
    found = compare(epochs, scenes, tmp_path / "out", ["mae"], num_seeds=1, settings=quick)
    assert found.protocol["trained for"] == "mae 2 epochs"


def test_what_was_not_trained_to_draw_is_judged_by_a_new_decoder_alone(
    compared: Compared,
) -> None:
    """And the control by what passes through its bottleneck, at the size of S and L."""
    whole, slots, _, mae, dense = compared.evaluation.models
    assert whole.score(likeness("PSNR")) is not None
    assert mae.score(likeness("PSNR")) is None
    assert frozen_decoder.PSNR.of(mae) is not None
    sizes = [NUMBERS.of(model) for model in (whole, slots, dense)]
    assert [size.value for size in sizes if size] == pytest.approx([120, 120, 128])
    assert slots.score(accuracy("L", "place", "kNN")) is not None
    ari = dense.score(agreement_of("ARI"))
    assert ari is not None
    assert "k-means on U" in ari.detail
    assert dense.score(accuracy("L", "place", "kNN")) is None


@pytest.mark.parametrize("text", ["0", "-3", "ten", "0min", "min", "1.5", "nanmin", "infmin"])
def test_bad_budgets(text: str) -> None:
    with pytest.raises(UserError, match="must be steps, as 500, or minutes, as 10min"):
        read_budget(text)
    assert read_budget("500") == (500, None)
    assert read_budget("1.5min") == (None, 1.5)


def test_from_the_command_line(base: RunConfig, tmp_path: Path, capsys) -> None:
    (tmp_path / "run.toml").write_text(to_toml(base))
    for index in range(12):
        picture = tmp_path / f"pictures/{'ab'[index % 2]}/{index}.png"
        picture.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (16, 16), (20 * index, 100, 255 * (index % 2))).save(picture)
    start = ["--config", str(tmp_path / "run.toml"), "--test", str(tmp_path / "pictures")]
    (tmp_path / "comparison").mkdir()
    (tmp_path / "comparison" / BUDGET).write_text("9 minutes")  # of a call that began no run
    call = ["compare", "stellar", "mae", *start, "--budget", "2", "--decoder-steps", "0"]
    assert main([*call, "--num-seeds", "1", "--out", str(tmp_path / "comparison")]) == 0
    assert (tmp_path / "comparison/report.html").exists()
    assert (tmp_path / "comparison" / BUDGET).read_text() == "2 steps"
    call = ["ablate", "without koleo", *start, "--steps", "2", "--num-seeds", "1"]
    assert main([*call, "--out", str(tmp_path / "ablation")]) == 0
    out = capsys.readouterr().out
    assert "without koleo" in out
    assert "the whole" in out
    assert "chosen by a hash" in out
    assert "over 1 training" not in out
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
