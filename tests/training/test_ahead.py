"""The next step's views are made before this one's loss is read."""

from dataclasses import replace
from pathlib import Path

import pytest

from stellar.config import RunConfig
from stellar.training import pretrain
from stellar.training.ahead import Ahead
from stellar.training.loop import Training


def test_an_item_is_made_once_in_order_and_only_when_asked_for() -> None:
    made: list[int] = []
    ahead = Ahead(made.append(number) or number for number in range(3))
    assert made == []
    ahead.make()
    ahead.make()
    assert made == [0]
    assert list(ahead) == [0, 1, 2]
    ahead.make()
    assert list(ahead) == []


def test_a_failure_is_raised_when_its_item_is_asked_for() -> None:
    def items():
        yield 1
        raise ValueError("broken")

    ahead = Ahead(items())
    assert next(ahead) == 1
    ahead.make()
    for _ in range(2):
        with pytest.raises(ValueError, match="broken"):
            next(ahead)


def test_the_loop_makes_views_one_part_ahead(
    tmp_path: Path, config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []
    for name in ("views", "run_step", "count"):
        original = getattr(Training, name)

        def noted(self: Training, *given, name=name, original=original):
            events.append(name)
            return original(self, *given)

        monkeypatch.setattr(Training, name, noted)
    pretrain(replace(config, training=replace(config.training, steps=3)), tmp_path / "run")
    step = ["run_step", "views", "count"]
    assert events == ["views", *step, *step, "run_step", "count"]
