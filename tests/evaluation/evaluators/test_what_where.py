"""The matrix of what objects tell by S, Z, L, U and colours, on any pictures with masks."""

from dataclasses import replace
from pathlib import Path

import pytest

from stellar.config import EvaluationConfig, ModelConfig
from stellar.data.labelled import MaskedSplits
from stellar.data.scenes import CLASSES, Scenes
from stellar.evaluation.evaluators.what_where import NUM_TOKENS, PURITY, accuracy, factorization
from stellar.evaluation.features.objects import FEATURES
from stellar.evaluation.subject import Subject
from stellar.model import Backbone, Stellar


def on_scenes(model: Stellar, folder: Path) -> Subject:
    train, test = (Scenes(split, size=24, length=10) for split in ("train", "heldout"))
    data = MaskedSplits(train, test, CLASSES, "scenes")
    return Subject("model", model, data, EvaluationConfig(), folder)


def test_every_feature_is_asked_for_every_label(small: ModelConfig, tmp_path: Path) -> None:
    subject = on_scenes(Stellar(small).eval(), tmp_path)
    scores = {score.quantity: score for score in factorization(subject)}
    labels = ("class", "colour", "place", "size")
    cells = {accuracy(f, label, p) for f in FEATURES for label in labels for p in ("kNN", "linear")}
    assert set(scores) == cells | {NUM_TOKENS, PURITY}
    heldout = Scenes("heldout", size=24)
    objects = [o for index in range(10) for o in heldout.scene(index).objects]
    colours = [o.colour for o in objects]
    chance = max(map(colours.count, colours)) / len(colours)
    score = scores[accuracy("S", "colour", "kNN")]
    assert score.detail == f"{len(objects)} objects"
    assert score.baseline == pytest.approx(chance)
    assert all(0 <= scores[cell].value <= 1 for cell in cells)
    assert 1 <= scores[NUM_TOKENS].value <= small.num_sparse_tokens
    assert 0 <= scores[PURITY].value <= 1


def test_a_model_that_sees_the_tiles_of_mosaics_knows_what_they_are(
    seeing: Stellar, mosaics, subject_of
) -> None:
    """Masks from anywhere will do. Each object is one token, which all of its map lies on."""
    scores = {score.quantity: score.value for score in factorization(subject_of(seeing, mosaics()))}
    for feature in ("S", "Z", "U", "colour"):
        assert scores[accuracy(feature, "class", "kNN")] == 1
    assert scores[accuracy("L", "class", "kNN")] < 0.8
    assert scores[NUM_TOKENS] == 1
    assert scores[PURITY] > 0.85, "a tenth of the tiles is of no known class"


def test_a_backbone_has_u_alone_and_pictures_without_objects_nothing(
    small: ModelConfig, tmp_path: Path
) -> None:
    subject = on_scenes(Backbone(replace(small, num_sparse_tokens=0)).eval(), tmp_path)
    found = {score.quantity.feature for score in factorization(subject)}
    assert found == {"U", "colour", "colours"}


def test_pictures_without_objects_have_no_matrix(seeing: Stellar, mosaics, subject_of) -> None:
    subject = subject_of(seeing, mosaics(ignored=1.0))
    assert not list(factorization(subject))
    assert subject.notes == [
        "what and where needs pictures with masks of objects to learn from and to ask"
    ]
