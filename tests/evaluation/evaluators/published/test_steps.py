"""The steps of the published probes."""

from dataclasses import dataclass

import pytest

from stellar.config import ConfigError, EvaluationConfig
from stellar.evaluation.evaluators.published.steps import Steps, budget, epochs_of
from stellar.evaluation.features.cache import Unreadable


@dataclass(frozen=True)
class Portion:
    """Pictures that could all be read."""

    places: list[int]
    unreadable: Unreadable = ()

    def __len__(self) -> int:
        return len(self.places)


@pytest.mark.parametrize("at_once", [3, 8, 100])
def test_each_epoch_is_nine_tenths_in_a_new_order_whatever_the_portions(at_once: int) -> None:
    steps = Steps(50, epochs=3, batch_size=8, at_once=at_once, seed=2)
    together = list(steps.together(Portion(places) for places in steps.portions()))
    assert len(together) == steps.count == 3 * 6
    sizes = [sum(map(len, portions)) for portions in together]
    assert sizes == 3 * [8, 8, 8, 8, 8, 5]
    assert all(len(portion) <= at_once for portions in together for portion in portions)
    places = [place for portions in together for portion in portions for place in portion.places]
    epochs = [[p for p in places if p // 50 == epoch] for epoch in range(3)]
    assert epochs[0] + epochs[1] + epochs[2] == places
    rows = [[p % 50 for p in epoch] for epoch in epochs]
    assert len({*rows[0]}) == 45
    assert {*rows[0]} == {*rows[1]} == {*rows[2]}
    assert rows[0] != rows[1]
    whole = Steps(50, 3, 8, 100, 2)
    assert places == [place for portion in whole.portions() for place in portion]


def test_other_epochs_than_the_published_ones_are_said() -> None:
    short = EvaluationConfig(protocol="published", published_epochs=1)
    assert (epochs_of(short, 30), budget(short, 30)) == (
        1,
        "1 epoch, not the 30 that are published",
    )
    full = EvaluationConfig(protocol="published")
    assert (epochs_of(full, 80), budget(full, 80)) == (80, "80 epochs")
    assert full.in_words["protocol"] == "published"
    assert (full.in_words["epochs"], short.in_words["epochs"]) == ("as published", "1")


def test_settings_of_the_other_protocol_have_no_effect(caplog: pytest.LogCaptureFixture) -> None:
    EvaluationConfig(protocol="published", decoder_steps=5, attentive=True)
    EvaluationConfig(published_epochs=3)
    assert [record.getMessage() for record in caplog.records] == [
        "decoder_steps has no effect when the protocol is published",
        "attentive has no effect when the protocol is published",
        "published_epochs has no effect when the protocol is stellar",
    ]
    with pytest.raises(
        ConfigError, match=r"protocol must be one of stellar, published, got 'publ'"
    ):
        EvaluationConfig(protocol="publ")  # pyright: ignore[reportArgumentType]
