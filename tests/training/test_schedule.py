"""Schedules: their ends, their shape."""

from dataclasses import replace

import pytest

from stellar.config import ObjectiveConfig, TrainingConfig
from stellar.training.schedule import learning_rate, teacher_momentum

CONFIG = TrainingConfig(learning_rate=1.0, final_learning_rate=0.01, warmup=0.1)


def test_learning_rate_rises_linearly_peaks_and_ends_at_its_floor() -> None:
    rates = [learning_rate(step, 100, CONFIG) for step in range(100)]
    assert rates[:10] == pytest.approx([0.1 * (i + 1) for i in range(10)])
    assert max(rates) == pytest.approx(1.0)
    assert rates[-1] == pytest.approx(0.01)
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[10 + 45] == pytest.approx((1 + 0.01) / 2, rel=0.05)


@pytest.mark.parametrize("total", [1, 2, 3])
def test_the_shortest_runs_have_a_rate(total: int) -> None:
    rates = [learning_rate(step, total, CONFIG) for step in range(total)]
    assert all(0.01 <= rate <= 1.0 for rate in rates)


def test_no_warmup_starts_at_the_peak() -> None:
    assert learning_rate(0, 10, TrainingConfig(learning_rate=0.5, warmup=0.0)) == 0.5


def test_a_constant_rate_rises_and_stays() -> None:
    config = replace(CONFIG, schedule="constant", final_learning_rate=1e-6)
    rates = [learning_rate(step, 100, config) for step in range(100)]
    assert rates[:10] == pytest.approx([0.1 * (i + 1) for i in range(10)])
    assert set(rates[10:]) == {1.0}


def test_teacher_momentum() -> None:
    constant = ObjectiveConfig(teacher="constant", teacher_momentum=0.9)
    cosine = ObjectiveConfig(teacher="cosine", teacher_momentum=0.9)
    assert {teacher_momentum(step, 10, constant) for step in range(10)} == {0.9}
    rising = [teacher_momentum(step, 10, cosine) for step in range(10)]
    assert rising[0] == pytest.approx(0.9)
    assert rising[-1] == pytest.approx(1.0)
    assert rising == sorted(rising)
