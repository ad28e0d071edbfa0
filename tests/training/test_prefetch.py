"""The next step's views are made before this one's loss is read."""

from dataclasses import replace

import pytest
import torch

from stellar.config import RunConfig
from stellar.data import Scenes
from stellar.processes.launch import Ranks
from stellar.training.loop import Training
from stellar.training.prefetch import Prefetch
from stellar.training.setup import prepare


def test_an_item_is_made_once_in_order_and_only_when_asked_for() -> None:
    made: list[int] = []
    ahead = Prefetch(made.append(number) or number for number in range(3))
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

    ahead = Prefetch(items())
    assert next(ahead) == 1
    ahead.make()
    for _ in range(2):
        with pytest.raises(ValueError, match="broken"):
            next(ahead)


def test_the_loop_makes_views_one_step_ahead(config: RunConfig) -> None:
    """The next step's pictures are read after this one's views went through the networks, and
    before its update.
    """
    events: list[str] = []

    def note(event: str) -> None:
        if events[-1:] != [event]:  # of many pictures or views in a row, one
            events.append(event)

    class Noted(Scenes):
        def read(self, index: int) -> torch.Tensor:
            note("read")
            return super().read(index)

    config = config.with_steps(3)
    ingredients = replace(prepare(config), source=Noted("train", size=16, length=12))
    training = Training.set_up(ingredients, None, Ranks(), torch.device("cpu"), None)
    training.model.encoder.register_forward_pre_hook(lambda *_: note("encode"))
    training.optimizer.register_step_post_hook(lambda *_: note("update"))
    assert training.run_to_end()
    step = ["encode", "read", "update"]
    assert events == ["read", *step, *step, "encode", "update"]
