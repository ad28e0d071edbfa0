"""A run that takes a second: a few thousand parameters on embedded scenes of 16 px."""

from dataclasses import replace

import pytest

from stellar.config import ModelConfig, ObjectiveConfig, RunConfig, TrainingConfig, ViewConfig


@pytest.fixture
def config(small: ModelConfig, small_objective: ObjectiveConfig) -> RunConfig:
    return RunConfig(
        data="scenes",
        model=small,
        views=ViewConfig(num_masked=2, num_local=1, local_size=8, masking_ratio=0.5),
        objective=replace(small_objective, koleo_weight=0.1, spatial_noise=0.5),
        training=TrainingConfig(
            steps=8,
            batch_size=4,
            learning_rate=1e-3,
            num_workers=0,
            compile="off",
            log_every=1,
            checkpoint_every=3,
            sample_every=0,
        ),
    )
