from collections.abc import Callable
from typing import get_args

import pytest

from stellar.evaluation import SceneReport
from stellar.evaluation.probes import FEATURES, LABELS, Probe, ProbeScore


@pytest.fixture
def make_report() -> Callable[..., SceneReport]:
    """Reports with a score of its own in each cell, shifted by `shift`."""

    def make(shift: float = 0.0, psnr: float = 18.76) -> SceneReport:
        cells = [
            (f, label, probe) for f in FEATURES for label in LABELS for probe in get_args(Probe)
        ]
        scores = tuple(
            ProbeScore(feature, label, probe, accuracy=0.1 + 0.04 * number + shift, chance=0.25)
            for number, (feature, label, probe) in enumerate(cells)
        )
        return SceneReport(
            psnr=psnr,
            ari=0.3712,
            images_per_second=1234.4,
            scores=scores,
            num_train_scenes=1000,
            num_train_objects=1988,
            num_heldout_scenes=900,
            num_heldout_objects=1802,
            seed=7,
            image_size=48,
            patch_size=6,
            num_sparse_tokens=6,
            num_parameters=758_883,
            device="CPU, 2 threads",
        )

    return make
