"""One confusion matrix over the data set, against scikit-learn."""

import math
from statistics import fmean

import pytest
import torch
from sklearn.metrics import accuracy_score, jaccard_score
from sklearn.metrics import confusion_matrix as sklearn_matrix

from stellar.evaluation.metrics.confusion import (
    class_iou,
    confusion_matrix,
    mean_iou,
    pixel_accuracy,
)

RANDOM = torch.randint(5, (2, 3, 14, 9), generator=torch.Generator().manual_seed(0))
ABSENT = RANDOM.clone()
ABSENT[ABSENT == 3] = 1
CASES = {
    "random": (RANDOM[0], RANDOM[1]),
    "equal": (RANDOM[0], RANDOM[0]),
    "a class absent from truth": (ABSENT[0], RANDOM[1]),
    "a class absent from prediction": (RANDOM[0], ABSENT[1]),
    "a class absent from both": (ABSENT[0], ABSENT[1]),
    "one picture": (RANDOM[0, 0], RANDOM[1, 0]),
    "constant prediction": (RANDOM[0], torch.full_like(RANDOM[0], 2)),
    "constant truth": (torch.full_like(RANDOM[0], 4), RANDOM[1]),
    "constant, and different": (torch.full_like(RANDOM[0], 4), torch.zeros_like(RANDOM[0])),
    "one pixel": (RANDOM[0, 0, :1, :1], RANDOM[1, 0, :1, :1]),
}


@pytest.mark.parametrize("ignored", [False, True])
@pytest.mark.parametrize("case", CASES)
def test_agrees_with_scikit_learn(case: str, ignored: bool) -> None:
    truth, prediction = CASES[case]
    counted = torch.ones(truth.shape, dtype=torch.bool)
    if ignored and truth.numel() > 1:
        counted = torch.rand(truth.shape) < 0.7
    found = confusion_matrix(truth.masked_fill(~counted, 255).byte(), prediction, 5)
    y, z = truth[counted].numpy(), prediction[counted].numpy()
    assert found.tolist() == sklearn_matrix(y, z, labels=range(5)).tolist()
    occurring = sorted({*y.tolist(), *z.tolist()})
    expected = [jaccard_score(y == c, z == c) for c in occurring]
    assert class_iou(found)[occurring].tolist() == pytest.approx(expected, abs=1e-6)
    assert class_iou(found).isnan().sum() == 5 - len(occurring)
    assert mean_iou(found) == pytest.approx(fmean(expected), abs=1e-6)
    assert pixel_accuracy(found) == pytest.approx(accuracy_score(y, z), abs=1e-6)


def test_pictures_add_up_to_the_data_set() -> None:
    """The mean of the pictures' mIoU is another number."""
    truth, prediction = ABSENT[0], RANDOM[1]
    parts = [confusion_matrix(a, b, 5) for a, b in zip(truth, prediction, strict=True)]
    whole = confusion_matrix(truth, prediction, 5)
    assert torch.equal(torch.stack(parts).sum(dim=0), whole)
    assert abs(mean_iou(whole) - sum(map(mean_iou, parts)) / 3) > 1e-4


def test_nothing_but_ignored_pixels_has_no_score() -> None:
    empty = confusion_matrix(torch.full((4, 4), 255, dtype=torch.uint8), RANDOM[0, 0, :4, :4], 5)
    assert empty.sum() == 0
    assert math.isnan(mean_iou(empty))
    assert math.isnan(pixel_accuracy(empty))
