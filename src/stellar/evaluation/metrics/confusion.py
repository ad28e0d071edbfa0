"""How well a segmentation names the class of every pixel, from one confusion matrix M over a whole
data set: M_ij counts the pixels of class i that were named j, in all pictures together.

    IoU_c = M_cc / (sum_j M_cj + sum_i M_ic - M_cc)

mIoU is its mean over the classes that occur, in truth or prediction (Everingham et al., 2015).
"""

import torch
from jaxtyping import Float64, Int64, Integer, Num
from torch import Tensor

from stellar.data.labelled import IGNORED


def confusion_matrix(
    truth: Integer[Tensor, "*pixels"], prediction: Integer[Tensor, "*pixels"], num_classes: int
) -> Int64[Tensor, "{num_classes} {num_classes}"]:
    """Pixels by true class (row) and predicted class (column); IGNORED in truth counts nowhere."""
    counted = truth != IGNORED
    cell = truth[counted].long() * num_classes + prediction[counted].long()
    return torch.bincount(cell, minlength=num_classes**2).reshape(num_classes, num_classes)


def class_iou(confusion: Num[Tensor, "c c"]) -> Float64[Tensor, " c"]:
    """IoU of each class; NaN for one that occurs in neither truth nor prediction."""
    confusion = confusion.double()
    both = confusion.diagonal()
    return both / (confusion.sum(dim=0) + confusion.sum(dim=1) - both)


def mean_iou(confusion: Num[Tensor, "c c"]) -> float:
    """Over the classes that occur; NaN without a pixel."""
    return class_iou(confusion).nanmean().item()


def pixel_accuracy(confusion: Num[Tensor, "c c"]) -> float:
    """Share of the pixels whose class is named rightly; NaN without a pixel."""
    confusion = confusion.double()
    return (confusion.trace() / confusion.sum()).item()
