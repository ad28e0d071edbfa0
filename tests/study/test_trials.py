"""The trials that settle the small presets: each changes the run; judged on a split of its own."""

import json
from pathlib import Path

import pytest

import trials
from stellar.config_toml import to_toml
from stellar.cost import training_flops


def test_each_trial_changes_one_thing() -> None:
    for name, change in trials.SINGLE.items():
        before, changed = trials.whole(), change(trials.whole())
        sections = ("model", "views", "objective", "training", "data", "init")
        assert sum(getattr(changed, s) != getattr(before, s) for s in sections) == 1, name


@pytest.mark.parametrize("name", trials.TRIALS)
def test_all_trials_cost_the_same(name: str) -> None:
    run = trials.fitted(trials.TRIALS[name], 6.0)(trials.whole())
    training = run.training
    assert training.steps is not None
    tflop = training_flops(run).total * training.batch_size * training.steps / 1e12
    assert tflop == pytest.approx(6.0, rel=0.01)


def test_another_run_is_changed_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    other = trials.with_section("model", image_size=64, patch_size=8)(trials.whole())
    (tmp_path / "run.toml").write_text(to_toml(other))
    base = trials.whole(tmp_path / "run.toml")
    assert trials.at_size(base, None) == base == other
    monkeypatch.setattr("sys.argv", ["trials.py", "--config", str(tmp_path / "gone.toml")])
    with pytest.raises(SystemExit):
        trials.main()
    assert "gone.toml does not exist" in capsys.readouterr().err


def test_a_trial_is_judged_on_the_tuning_split(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    call = ["trials.py", "shared crop", "--tflop", "0.05", "--num-seeds", "1", "--scenes", "20"]
    monkeypatch.setattr("sys.argv", [*call, "--out", str(tmp_path)])
    trials.main()
    lines = capsys.readouterr().out.splitlines()
    rows = [line.strip("| ").split(" | ") for line in lines if line.startswith("| ")]
    assert [row[0] for row in rows[2:]] == ["the whole", "shared crop"]
    assert rows[2][1] == rows[3][1] == "1"  # 0.05 TFLOP, at 0.04 a step
    assert all(len(row) == 2 + len(trials.COLUMNS) for row in rows[1:])
    report = json.loads((tmp_path / "report.json").read_text())
    assert "test set: tuning" in report["data"]
    assert [model["name"] for model in report["models"]] == ["the whole", "shared crop"]
    monkeypatch.setattr("sys.argv", ["trials.py", "no noise"])
    with pytest.raises(SystemExit):
        trials.main()
    assert "there are no noise on L, noise 2" in capsys.readouterr().err
