"""A run of a moment, and scenes to judge it by."""

from collections.abc import Iterator

import pytest

from stellar.config import (
    EvaluationConfig,
    RunConfig,
    TrainingConfig,
    ViewConfig,
)
from stellar.data.evaluation_data import open_scenes
from stellar.data.labelled import MaskedSplits


@pytest.fixture(scope="session")
def base(small, small_objective) -> RunConfig:
    return RunConfig(
        data="scenes",
        model=small,
        views=ViewConfig(num_masked=2, num_local=1, local_size=8, masking_ratio=0.5),
        objective=small_objective,
        training=TrainingConfig(steps=4, batch_size=4, num_workers=0, log_every=2, sample_every=0),
    )


@pytest.fixture(scope="session")
def scenes(base: RunConfig) -> MaskedSplits:
    return open_scenes(base.model, 30, 20)


@pytest.fixture(scope="session")
def quick() -> EvaluationConfig:
    """Every test, each as short as it can be."""
    return EvaluationConfig(num_seeds=1, epochs=1, decoder_steps=2)


@pytest.fixture(scope="module", autouse=True)
def _few_steps() -> Iterator[None]:
    """Of the probe of presence, which takes 500 at least, whatever the settings say."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("stellar.evaluation.evaluators.presence.STEPS", 5)
        yield
