"""The segmentation test: right where the answer is known, and counted as scikit-learn counts."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.metrics import accuracy_score, jaccard_score

from stellar.config import ModelConfig
from stellar.data.evaluation_data import open_scenes
from stellar.data.labelled import MaskedSplits, Splits
from stellar.data.scenes import Scenes
from stellar.evaluation.evaluators.segmentation import (
    count_pixels,
    fit_head,
    patch_confusions,
    segmentation,
)
from stellar.evaluation.metrics.confusion import class_iou
from stellar.evaluation.probes.patch_heads import LEARNING_RATES, Feature, fit_norm, inputs_of
from stellar.evaluation.subject import Subject
from stellar.model import Backbone, Stellar

Make = Callable[..., MaskedSplits]
CPU = torch.device("cpu")
EVERY = {"U", "Z", "tokens painted with L"}


def values(subject: Subject) -> dict[str, float]:
    return {score.quantity.name: score.value for score in segmentation(subject)}


def test_features_that_say_the_class_reach_100(
    seeing: Stellar, mosaics: Make, subject_of: Callable[..., Subject]
) -> None:
    """Masks of one pixel for each patch, so that enlarging blurs nothing."""
    scores = list(segmentation(subject_of(seeing, mosaics(), epochs=40)))
    assert {s.quantity.name for s in scores} == {
        f"{name}, {feature}" for name in ("mIoU", "pixel accuracy") for feature in EVERY
    }
    for score in scores:
        assert score.value == pytest.approx(100)
        assert score.spread == pytest.approx(0)
        assert "4 classes" in score.detail


def test_masks_of_another_size_lose_only_the_borders(
    seeing: Stellar, mosaics: Make, subject_of: Callable[..., Subject]
) -> None:
    found = values(subject_of(seeing, mosaics((44, 28)), epochs=40))
    assert all(80 < found[f"pixel accuracy, {feature}"] < 100 for feature in EVERY)


def test_without_tokens_u_alone_is_judged(
    seeing_backbone: Backbone, mosaics: Make, subject_of: Callable[..., Subject]
) -> None:
    found = values(subject_of(seeing_backbone, mosaics(), epochs=40))
    assert found == pytest.approx({"mIoU, U": 100, "pixel accuracy, U": 100})


def test_features_that_say_nothing_name_the_most_frequent_class(
    small: ModelConfig, mosaics: Make, subject_of: Callable[..., Subject]
) -> None:
    model = Backbone(replace(small, num_sparse_tokens=0)).eval()
    torch.nn.init.zeros_(model.encoder.norm.weight)
    torch.nn.init.ones_(model.encoder.norm.bias)
    data = mosaics()
    truth = torch.stack([data.test.masks(index).classes for index in range(20)])
    share = truth[truth != 255].bincount() / (truth != 255).sum()
    found = values(subject_of(model, data, num_seeds=1))
    assert found["pixel accuracy, U"] / 100 in [pytest.approx(s, abs=1e-6) for s in share.tolist()]
    assert found["mIoU, U"] == pytest.approx(found["pixel accuracy, U"] / 4, abs=1e-6)


@pytest.mark.parametrize("feature", ["U", "Z", "tokens"])
def test_pixels_are_counted_as_scikit_learn_counts(
    small: ModelConfig, mosaics: Make, subject_of: Callable[..., Subject], feature: Feature
) -> None:
    data = mosaics((23, 31))
    subject = subject_of(Stellar(small).eval(), data)
    patches, source = subject.test_patches, data.test
    norm = fit_norm(feature, subject.train_patches, CPU)
    heads, rate = fit_head(feature, norm, subject.train_patches, 3, seed=0)
    assert rate in LEARNING_RATES
    (confusion,) = count_pixels({feature: heads.scores}, patches, source, CPU)[feature]
    labels: list[int] = []
    named: list[int] = []
    for index in range(20):
        batch = patches.read([index], CPU)
        said = (inputs_of(feature, batch) - norm.mean) * norm.scale @ heads.weight[0].T
        said = said + heads.bias[0]
        if feature == "tokens":
            said = batch.spatial[0] @ said.softmax(dim=1)
        said = F.interpolate(said.T.view(1, 4, 4, 4), (23, 31), mode="bilinear").argmax(dim=1)[0]
        mask = source.masks(index).classes
        labels += mask[mask != 255].tolist()
        named += said[mask != 255].tolist()
    assert confusion.sum() == len(labels)
    accuracy = confusion.trace() / confusion.sum()
    assert accuracy.item() == pytest.approx(accuracy_score(labels, named), abs=1e-6)
    truth, found = np.array(labels), np.array(named)
    expected = [jaccard_score(truth == c, found == c) for c in range(4)]
    assert class_iou(confusion).nan_to_num().tolist() == pytest.approx(expected, abs=1e-6)


def test_the_rate_is_the_best_on_held_out_training_pictures(
    small: ModelConfig, mosaics: Make, subject_of: Callable[..., Subject]
) -> None:
    """Whole patches on the held-out pictures, every pixel by its patch."""
    subject = subject_of(Stellar(small).eval(), mosaics((16, 16)))
    patches, rows = subject.train_patches, torch.arange(6)
    head, _ = fit_head("U", fit_norm("U", patches, CPU), patches, 2, seed=0)
    (found,) = patch_confusions(head, patches, rows)
    expected = torch.zeros(4, 4)
    for row in rows.tolist():
        batch = patches.read([row], CPU)
        named = head.scores(batch)[0, :, 0].argmax(dim=1)
        for patch in range(16):
            expected[:, named[patch]] += batch.shares[0, patch]
    torch.testing.assert_close(found.float(), expected)


def test_the_test_pictures_choose_nothing(
    small: ModelConfig, mosaics: Make, subject_of: Callable[..., Subject]
) -> None:
    model, data = Stellar(small).eval(), mosaics()
    details = [
        [s.detail.split(";")[0] for s in segmentation(subject_of(model, one))]
        for one in (data, replace(data, test=data.train))
    ]
    assert details[0] == details[1]


def test_a_rate_that_nothing_chose_is_said(
    small: ModelConfig, mosaics: Make, subject_of: Callable[..., Subject]
) -> None:
    """Held-out pictures without a pixel that counts give no mIoU to choose by."""
    subject = subject_of(Stellar(small).eval(), replace(mosaics(), train=mosaics(ignored=1).train))
    scores = list(segmentation(subject))
    assert len(scores) == 6
    assert all(s.detail.startswith("learning rate not chosen, not chosen;") for s in scores)
    assert len(subject.notes) == 2, "one is of few steps"
    assert subject.notes[1].startswith(
        "segmentation took the learning rate 1e-03 where the training pictures"
    )


def test_few_steps_are_said_once(
    seeing: Stellar, mosaics: Make, subject_of: Callable[..., Subject]
) -> None:
    """54 of 60 pictures, 16 at once: 4 steps an epoch, for each feature and seed the same."""
    subject = subject_of(seeing, mosaics())
    values(subject)
    (note,) = subject.notes
    assert note.startswith("the head of segmentation took only 40 steps of training")
    assert "--epochs 50 for 200 steps or more" in note
    longer = subject_of(seeing, mosaics(), epochs=50)
    values(longer)
    assert not longer.notes


def test_degenerate_data(
    small: ModelConfig, mosaics: Make, subject_of: Callable[..., Subject]
) -> None:
    """One picture each; a test set without a label; a class that no picture has."""
    model = Stellar(small).eval()
    lone = values(subject_of(model, mosaics(num_train=1, num_test=1)))
    assert all(0 <= value <= 100 for value in lone.values())
    unlabelled = mosaics(ignored=1)
    subject = subject_of(model, unlabelled)
    assert not values(subject)
    assert subject.notes[-1] == "segmentation needs test pictures whose masks name a class"
    more = replace(mosaics(), classes=("ground", "red", "green", "blue", "none"))
    assert len(values(subject_of(model, more))) == 6


def test_the_embedded_scenes_and_labelled_pictures(
    small: ModelConfig, subject_of: Callable[..., Subject]
) -> None:
    scenes = open_scenes(small, num_train=12, num_test=6)
    assert isinstance(scenes.test, Scenes)
    assert len(values(subject_of(Stellar(small).eval(), scenes))) == 6
    labelled = Subject.__new__(Subject)
    object.__setattr__(labelled, "data", Splits.__new__(Splits))
    assert not list(segmentation(labelled))
