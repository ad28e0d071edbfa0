"""Which classes a picture has, told from the whole of it."""

import pytest

from stellar.data.labelled import Splits
from stellar.evaluation.evaluators.presence import QUANTITIES, STEPS, epochs_for, presence
from stellar.model import Backbone, Stellar


def test_what_is_in_mosaics_is_told_from_features_that_hold_it(
    seeing: Stellar, mosaics, subject_of
) -> None:
    """The mean of U holds the share of each colour; that of S is the same for all."""
    data = mosaics(num_train=200, num_test=100, ignored=0.7)
    scores = {score.quantity: score for score in presence(subject_of(seeing, data))}
    assert set(scores) == set(QUANTITIES.values())
    u, s = scores[QUANTITIES["U"]], scores[QUANTITIES["S"]]
    assert u.baseline == s.baseline
    assert s.baseline is not None
    assert 30 < s.baseline < 90
    assert s.value == pytest.approx(s.baseline, abs=8)
    assert u.value > s.baseline
    assert u.detail == "3 classes, 100 pictures"
    assert u.spread is not None


def test_few_pictures_take_no_more_steps_than_many() -> None:
    """Each pass over up to 128 pictures is one step."""
    assert [epochs_for(count) for count in (1, 12, 128)] == [STEPS] * 3
    assert epochs_for(1000) * 1000 // 128 == STEPS


def test_a_model_without_tokens_has_cls_and_u(
    seeing_backbone: Backbone, mosaics, subject_of
) -> None:
    scores = presence(subject_of(seeing_backbone, mosaics()))
    assert [score.quantity.feature for score in scores] == ["cls", "U"]


def test_pictures_without_objects_or_masks_have_none(seeing: Stellar, mosaics, subject_of) -> None:
    assert not list(presence(subject_of(seeing, mosaics(ignored=1.0))))
    labelled = object.__new__(Splits)
    assert not list(presence(subject_of(seeing, labelled)))
