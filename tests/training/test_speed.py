"""Steps that are timed: as many as asked for, nothing left of them, and stopped when asked to."""

import os
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from stellar.config import ConfigError, RunConfig
from stellar.errors import Interrupted
from stellar.training.speed import seconds_of_steps


def test_every_step_is_timed_and_nothing_is_written(
    tmp_path: Path, config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also of a run that is set to fewer steps."""
    monkeypatch.chdir(tmp_path)
    config = replace(config, training=replace(config.training, steps=2, accumulate=2))
    start = time.perf_counter()
    seconds = seconds_of_steps(config, 5)
    assert len(seconds) == 5
    assert min(seconds) > 0
    assert sum(seconds) < time.perf_counter() - start
    assert list(tmp_path.iterdir()) == []


def test_larger_batches_take_longer(config: RunConfig) -> None:
    large = replace(config, training=replace(config.training, batch_size=64))
    few, many = (sorted(seconds_of_steps(each, 5))[2] for each in (config, large))
    assert many > 2 * few


def test_what_cannot_be_done_is_said(config: RunConfig) -> None:
    recorded = replace(config, training=replace(config.training, cuda_graph=True))
    with pytest.raises(ConfigError, match="one process on a GPU"):
        seconds_of_steps(recorded, 2, device="cpu")


def test_it_stops_when_asked_to(config: RunConfig) -> None:
    before = signal.getsignal(signal.SIGINT)

    def ask() -> None:
        """Once a signal is a request to stop; there are steps for hours."""
        while signal.getsignal(signal.SIGINT) == before:
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    with pytest.raises(Interrupted, match="before any training"):
        seconds_of_steps(config, 1_000_000)
    asking.join()
    assert signal.getsignal(signal.SIGINT) == before
