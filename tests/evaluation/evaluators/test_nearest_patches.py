"""kNN segmentation: right where the answer is known, counted as scikit-learn counts, and silent
where nothing can be told.
"""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from sklearn.metrics import jaccard_score

from stellar.config import ModelConfig
from stellar.data.labelled import MaskedSplits, Splits
from stellar.evaluation.evaluators.nearest_patches import KS, nearest_patches
from stellar.evaluation.probes.patch_bank import fill_bank
from stellar.evaluation.probes.patch_heads import fit_norm
from stellar.evaluation.subject import Subject
from stellar.model import Backbone, Stellar

CPU = torch.device("cpu")
Make = Callable[..., MaskedSplits]


def test_features_that_say_the_class_reach_100(
    seeing: Stellar, mosaics: Make, subject_of: Callable[..., Subject]
) -> None:
    scores = list(nearest_patches(subject_of(seeing, mosaics((8, 12)))))
    assert [s.quantity.name for s in scores] == [
        f"mIoU, {feature}, k = {k}" for feature in ("U", "Z") for k in KS
    ]
    for score in scores:
        assert score.value == pytest.approx(100)
        assert score.detail.endswith("training patches")


def test_without_tokens_u_alone_is_judged(
    seeing_backbone: Backbone, mosaics: Make, subject_of: Callable[..., Subject]
) -> None:
    scores = list(nearest_patches(subject_of(seeing_backbone, mosaics())))
    assert [(s.quantity.feature, s.quantity.k) for s in scores] == [("U", k) for k in KS]


def test_pixels_are_counted_as_scikit_learn_counts(
    small: ModelConfig, mosaics: Make, subject_of: Callable[..., Subject]
) -> None:
    """A pixel takes the class of the patch that its centre is in."""
    data = mosaics((23, 31))
    subject = subject_of(Stellar(small).eval(), data)
    patches, source = subject.test_patches, data.test
    norm = fit_norm("U", subject.train_patches, CPU)
    bank = fill_bank("U", norm, subject.train_patches, most=0, seed=0)
    truth, found = [], []
    for index in range(20):
        named = bank.named(patches.read([index], CPU), (3,))[3].view(4, 4)
        mask = source.masks(index).classes
        for y in range(23):
            for x in range(31):
                if mask[y, x] != 255:
                    truth.append(int(mask[y, x]))
                    found.append(int(named[int((y + 0.5) * 4 / 23), int((x + 0.5) * 4 / 31)]))
    expected = jaccard_score(np.array(truth), np.array(found), average="macro")
    values = {s.quantity.name: s.value for s in nearest_patches(subject)}
    assert values["mIoU, U, k = 3"] == pytest.approx(100 * expected)


def test_nothing_is_said_without_labels(
    small: ModelConfig, mosaics: Make, subject_of: Callable[..., Subject]
) -> None:
    subject = subject_of(Stellar(small).eval(), mosaics(ignored=1))
    assert not list(nearest_patches(subject))
    assert subject.notes == ["kNN segmentation needs training pictures whose masks name a class"]
    labelled = Subject.__new__(Subject)
    object.__setattr__(labelled, "data", Splits.__new__(Splits))
    assert not list(nearest_patches(labelled))
