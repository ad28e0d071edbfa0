"""The published segmentation probe: its loss, its labels, and scikit-learn's mIoU on the grid."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.metrics import jaccard_score
from torch import nn

from stellar.data.labelled import MaskedSplits
from stellar.evaluation.evaluators.published.crops import CentreCrops
from stellar.evaluation.evaluators.published.segmentation import (
    TEST,
    LabelledPatches,
    MaskedCrops,
    collated,
    count_patches,
    hybrid_loss,
    published_segmentation,
    train_head,
)
from stellar.evaluation.subject import Subject
from stellar.images import InputError
from stellar.model import Stellar


def plain_loss(logits: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """Class by class, patch by patch."""
    found, p = 0.0, logits.softmax(dim=1)
    for c in range(logits.shape[1]):
        both = total = 0.0
        for place in (truth != 255).nonzero().tolist():
            b, y, x = place
            hit = float(truth[b, y, x] == c)
            both += p[b, c, y, x] * hit
            total += p[b, c, y, x] + hit
        found += (2 * both + 1) / (total + 1) / logits.shape[1]
    return F.cross_entropy(logits, truth, ignore_index=255) + 1 - found


def test_the_loss_is_cross_entropy_and_dice_over_all_classes() -> None:
    logits, truth = torch.randn(2, 5, 3, 3), torch.randint(3, (2, 3, 3))
    truth[0, 0] = 255
    torch.testing.assert_close(hybrid_loss(logits, truth), plain_loss(logits, truth))
    assert hybrid_loss(logits, truth * 0 + 255) == 0


@pytest.fixture
def subject(
    seeing: Stellar, mosaics: Callable[..., MaskedSplits], subject_of: Callable[..., Subject]
) -> Subject:
    data = mosaics((24, 24), num_train=40, num_test=12)
    return subject_of(seeing, data, protocol="published", published_epochs=2, batch_size=8)


def test_scores_say_their_budget_and_are_never_ours(subject: Subject) -> None:
    scores = {score.quantity.metric: score for score in published_segmentation(subject)}
    assert {*scores} == {"mIoU", "pixel accuracy"}
    assert all(score.quantity.test == TEST for score in scores.values())
    assert scores["mIoU"].spread is not None
    assert "2 epochs, not the 80 that are published; 4 classes" in scores["mIoU"].detail


def test_it_learns_what_the_model_sees(subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    """80 epochs of one step each at 1e-4 are not enough for a head that begins at random numbers,
    so the test takes larger steps.
    """
    monkeypatch.setattr("stellar.evaluation.evaluators.published.segmentation.RATE", 1e-2)
    few, many = (
        replace(subject, settings=replace(subject.settings, published_epochs=epochs, num_seeds=1))
        for epochs in (1, 80)
    )
    before, after = (next(iter(published_segmentation(each))).value for each in (few, many))
    assert after > before + 10


def masked(subject: Subject) -> MaskedSplits:
    assert isinstance(subject.data, MaskedSplits)
    return subject.data


def all_crops(data: MaskedSplits, subject: Subject) -> LabelledPatches:
    """All test pictures, with the classes of their patches."""
    crops = CentreCrops(data.test, 16)
    items = MaskedCrops(crops, data.test, data.classes, subject.model.config)
    return collated([items[index] for index in range(len(items))])


def test_miou_is_scikit_learns_over_all_patches(subject: Subject) -> None:
    data = masked(subject)
    head = train_head(subject, data, 0)
    confusion = count_patches(head, subject, data)
    batch = all_crops(data, subject)
    with torch.no_grad():
        dense = subject.model.encode(batch.images).dense.mT.unflatten(2, (4, 4))
        named = head(dense.half().float()).argmax(dim=1).flatten().numpy()
    truth = batch.classes.flatten().numpy()
    counted = truth != 255
    assert confusion.sum() == counted.sum()
    expected = jaccard_score(truth[counted], named[counted], average="macro")
    both = confusion.diagonal().double()
    iou = both / (confusion.sum(0) + confusion.sum(1) - both)
    assert np.nanmean(iou.numpy()) == pytest.approx(expected)


def test_the_background_is_no_class(subject: Subject) -> None:
    data = replace(masked(subject), classes=("background", "red", "green", "blue"))
    head = train_head(subject, data, 0)
    assert isinstance(head[1], nn.Conv2d)
    assert head[1].out_channels == 3
    classes = all_crops(data, subject).classes
    assert classes.unique().tolist() == [0, 1, 2, 255]
    assert count_patches(head, subject, data).shape == (3, 3)


def test_one_class_beside_the_background_is_no_test(subject: Subject) -> None:
    """Its mIoU would be 100 % whatever a model says."""
    data = replace(masked(subject), classes=("background", "cat"))
    assert not list(published_segmentation(replace(subject, data=data)))
    assert subject.notes == [f"{TEST} needs masks of 2 classes or more beside the background"]


def test_portions_change_nothing(subject: Subject) -> None:
    head = train_head(subject, masked(subject), 0)
    assert [type(layer) for layer in head] == [nn.BatchNorm2d, nn.Conv2d]
    assert not head.training
    portions = replace(subject, settings=replace(subject.settings, batch_size=64))
    whole = train_head(portions, masked(subject), 0)
    torch.testing.assert_close(whole[1].weight, head[1].weight, atol=1e-5, rtol=1e-3)


def test_pictures_that_cannot_be_read_are_left_out(subject: Subject) -> None:
    source, read = subject.data.train, subject.data.train.read

    def broken(index: int) -> torch.Tensor:
        if index % 2:
            raise InputError("it is torn")
        return read(index)

    source.read = broken  # files that are damaged
    train_head(subject, masked(subject), 0)
    assert 16 <= subject.num_unreadable["train"] <= 20
