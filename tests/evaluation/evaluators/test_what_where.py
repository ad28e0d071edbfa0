"""The matrix of what S, L and the dense features know, on the embedded scenes alone."""

from dataclasses import replace
from pathlib import Path

import pytest

from stellar.config import EvaluationConfig, ModelConfig
from stellar.data.cutouts import MATERIALS, Cutouts
from stellar.data.labelled import MaskedFiles, MaskedSplits
from stellar.evaluation.evaluators.what_where import factorization
from stellar.evaluation.probes.objects import LABELS
from stellar.evaluation.subject import Subject
from stellar.model import Backbone, Stellar


def subject_of(model: Stellar | Backbone, folder: Path) -> Subject:
    train, test = (Cutouts(split, size=24, length=10) for split in ("train", "heldout"))
    data = MaskedSplits(train, test, MATERIALS, "scenes")
    return Subject("model", model, data, EvaluationConfig(), folder)


def test_every_feature_is_asked_for_every_label(small: ModelConfig, tmp_path: Path) -> None:
    subject = subject_of(Stellar(small).eval(), tmp_path)
    scores = {score.quantity.name: score for score in factorization(subject)}
    assert set(scores) == {
        f"{feature} to {label}, {probe}"
        for feature in ("S", "L", "dense")
        for label in LABELS
        for probe in ("kNN", "linear")
    }
    heldout = Cutouts("heldout", size=24)
    objects = [o for index in range(10) for o in heldout.scene(index).objects]
    digits = [o.digit for o in objects]
    chance = max(map(digits.count, digits)) / len(digits)
    assert scores["S to digit, kNN"].detail == f"{len(objects)} objects"
    assert scores["S to digit, kNN"].baseline == pytest.approx(chance)
    assert all(0 <= score.value <= 1 for score in scores.values())


def test_a_backbone_has_a_row_and_pictures_without_objects_have_none(
    small: ModelConfig, tmp_path: Path
) -> None:
    subject = subject_of(Backbone(replace(small, num_sparse_tokens=0)).eval(), tmp_path)
    assert {score.quantity.name.split()[0] for score in factorization(subject)} == {"dense"}
    files = MaskedFiles(tmp_path, {b"a.png": b"mask.png"}, MATERIALS, {})
    other = replace(subject, data=MaskedSplits(files, files, MATERIALS, "files"))
    assert not list(factorization(other))
