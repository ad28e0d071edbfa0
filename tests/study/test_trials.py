"""The trials that settle the small presets: each changes the run; judged on a split of its own."""

import json
from pathlib import Path

import pytest

import trials
from stellar.presets import demo


def test_each_trial_changes_one_thing() -> None:
    for name, change in trials.TRIALS.items():
        changed = change(demo())
        assert changed != demo(), name
        sections = ("model", "views", "objective", "training", "data", "init")
        assert sum(getattr(changed, s) != getattr(demo(), s) for s in sections) == 1, name


def test_a_trial_is_judged_on_the_tuning_split(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    call = ["trials.py", "shared crop", "--steps", "1", "--num-seeds", "1", "--scenes", "20"]
    monkeypatch.setattr("sys.argv", [*call, "--out", str(tmp_path)])
    trials.main()
    assert "shared crop" in capsys.readouterr().out
    report = json.loads((tmp_path / "report.json").read_text())
    assert "test set: tuning" in report["data"]
    assert [model["name"] for model in report["models"]] == ["the whole", "shared crop"]
    monkeypatch.setattr("sys.argv", ["trials.py", "no noise"])
    with pytest.raises(SystemExit):
        trials.main()
    assert "there are no noise on L, noise 2" in capsys.readouterr().err
