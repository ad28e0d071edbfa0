"""Where a model sees the objects, without labels: argmax of L as a segmentation, and its ARI.

With the contingency table n_ij of two partitions of the pixels, pairs(x) = x (x - 1) / 2 and
E = sum_i pairs(a_i) sum_j pairs(b_j) / pairs(N), where a and b are the table's margins,

    ARI = (sum_ij pairs(n_ij) - E) / ((sum_i pairs(a_i) + sum_j pairs(b_j)) / 2 - E)

(Hubert and Arabie, 1985). 1 for equal partitions, 0 expected by chance; the background counts as
a segment.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Float64, Int64, Integer
from torch import Tensor


def segment(maps: Float[Tensor, "b k h w"], size: tuple[int, int]) -> Int64[Tensor, "b H W"]:
    """The token that explains each pixel: argmax of L, bilinear at the size of the picture."""
    smooth = F.interpolate(maps.float(), size=size, mode="bilinear", align_corners=False)
    return smooth.argmax(dim=1)


def adjusted_rand_index(
    truth: Integer[Tensor, "b h w"], prediction: Integer[Tensor, "b h w"]
) -> Float64[Tensor, " b"]:
    """ARI of two segmentations of each image; labels are any integers from 0.

    Two partitions of one segment each, or of single pixels each, are equal: 1.
    """
    table = _contingency(truth.flatten(1).long(), prediction.flatten(1).long())
    together = _pairs(table).sum(dim=(1, 2))
    in_truth = _pairs(table.sum(dim=2)).sum(dim=1)
    in_prediction = _pairs(table.sum(dim=1)).sum(dim=1)
    expected = in_truth * in_prediction / _pairs(table.sum(dim=(1, 2))).clamp_min(1)
    margin = (in_truth + in_prediction) / 2 - expected
    equal = (together == in_truth) & (together == in_prediction)
    score = (together - expected) / torch.where(equal, 1.0, margin)
    return torch.where(equal, 1.0, score)


def _contingency(a: Int64[Tensor, "b n"], b: Int64[Tensor, "b n"]) -> Float64[Tensor, "b i j"]:
    rows, columns = int(a.max()) + 1, int(b.max()) + 1
    image = torch.arange(len(a), device=a.device)[:, None]
    cell = (image * rows + a) * columns + b
    counts = torch.bincount(cell.flatten(), minlength=len(a) * rows * columns)
    return counts.reshape(len(a), rows, columns).double()


def _pairs(count: Float64[Tensor, "*shape"]) -> Float64[Tensor, "*shape"]:
    return count * (count - 1) / 2
