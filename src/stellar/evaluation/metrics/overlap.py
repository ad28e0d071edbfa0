"""How well segments cover the objects of a picture, from the table n_ij of the pixels that object i
and segment j share:

    IoU_ij = n_ij / (sum_j n_ij + sum_i n_ij - n_ij)

Best overlap lets each object choose its segment, matched IoU gives a segment to one object at most.
"""

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64, Integer
from torch import Tensor


def contingency(
    a: Integer[Tensor, "b n"], b: Integer[Tensor, "b n"]
) -> Float64[Tensor, "b rows columns"]:
    """For each of b pictures of n pixels, the pixels that are i in `a` and j in `b`."""
    rows, columns = int(a.max()) + 1, int(b.max()) + 1
    image = torch.arange(len(a), device=a.device)[:, None]
    cell = (image * rows + a.long()) * columns + b.long()
    counts = torch.bincount(cell.flatten(), minlength=len(a) * rows * columns)
    return counts.reshape(len(a), rows, columns).double()


def overlaps(
    instances: Integer[Tensor, "*pixels"], segments: Integer[Tensor, "*pixels"]
) -> Float64[Tensor, "objects segments"]:
    """IoU of the objects of one picture (numbers above 0 that occur, in order) and all segments.

    The background is no object, but its pixels count in the union. Needs at least one pixel.
    """
    (table,) = contingency(instances.reshape(1, -1), segments.reshape(1, -1))
    union = table.sum(dim=1, keepdim=True) + table.sum(dim=0) - table
    iou = table / union.clamp_min(1)
    return iou[1:][table[1:].sum(dim=1) > 0]


def best_overlap(iou: Float64[Tensor, "objects segments"]) -> float:
    """Mean over the objects of a picture of the best IoU that any segment has; NaN without any."""
    return iou.max(dim=1).values.mean().item()


def matched_iou(iou: Float64[Tensor, "objects segments"]) -> float:
    """Mean IoU of the objects of a picture under the best one-to-one matching to segments.

    An object without a segment counts 0, and segments that are left do not count: never above
    `best_overlap`. NaN without objects.
    """
    rows, columns = optimal_pairs(iou.cpu().numpy())
    return iou[rows, columns].sum().div(len(iou)).item()


def optimal_pairs(
    score: Float[np.ndarray, "rows columns"],
) -> tuple[Int64[np.ndarray, " n"], Int64[np.ndarray, " n"]]:
    """Rows and columns of the one-to-one matching whose scores have the largest sum.

    The Hungarian method: each row in turn finds, by Dijkstra's algorithm over costs that potentials
    keep from being negative, the cheapest way to a free column, and the rows on it move on
    (Jonker and Volgenant, 1987).
    """
    if len(score) > score.shape[1]:
        columns, rows = optimal_pairs(score.T)
        return rows, columns
    of_row, of_column = np.zeros(len(score)), np.zeros(score.shape[1])
    row_at = np.full(score.shape[1], -1)
    for row in range(len(score)):
        distance, before = np.full(len(row_at), np.inf), np.full(len(row_at), -1)
        done = np.zeros(len(row_at), bool)
        here, column, length = row, -1, 0.0
        while here >= 0:
            ways = length - score[here] - of_row[here] - of_column
            shorter = ~done & (ways < distance)
            distance[shorter], before[shorter] = ways[shorter], column
            column = int(np.where(done, np.inf, distance).argmin())
            length, here = distance[column], row_at[column]
            done[column] = here >= 0
        of_row[row] += length
        of_row[row_at[done]] += length - distance[done]
        of_column[done] -= length - distance[done]
        while column >= 0:
            row_at[column] = row_at[before[column]] if before[column] >= 0 else row
            column = before[column]
    columns = np.flatnonzero(row_at >= 0)
    return row_at[columns], columns
