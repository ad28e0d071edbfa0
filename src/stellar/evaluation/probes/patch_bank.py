"""k nearest neighbours patch by patch: training patches of highest cosine vote for the class of a
patch, as in CAPI's segmentation benchmark (Darcet et al., 2025).

Features have mean 0 and variance 1 over all training patches. The label of a patch is the class
that most of its pixels have, of those that are not ignored (the lower class where two have as
many); a patch in which nothing counts is no neighbour. Every neighbour has one vote.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from stellar.evaluation.features.patches import PatchBatch, Patches
from stellar.evaluation.probes.knn import knn_predict
from stellar.evaluation.probes.patch_heads import BatchNorm, Feature, inputs_of

BATCH = 64
"""Pictures that are read at once."""


@dataclass(frozen=True)
class PatchBank:
    """n training patches."""

    feature: Feature
    norm: BatchNorm
    rows: Float[Tensor, "n D"]
    labels: Int64[Tensor, " n"]

    def named(self, batch: PatchBatch, ks: Sequence[int]) -> dict[int, Int64[Tensor, "b P"]]:
        """The class of every patch of some pictures, by the vote of k neighbours for each k."""
        queries = self.norm(inputs_of(self.feature, batch))
        equal_votes = math.inf
        found = knn_predict(self.rows, self.labels, queries, ks, temperature=equal_votes)
        return {k: classes.unflatten(0, (len(batch.dense), -1)) for k, classes in found.items()}


def fill_bank(
    feature: Feature, norm: BatchNorm, patches: Patches, most: int, seed: int
) -> PatchBank:
    """Patches with a label, perhaps none: `most` of them at random, or all where that is 0."""
    device = norm.mean.device
    labels = torch.cat([_labels(batch) for batch in _batches(patches, torch.device("cpu"))])
    known = (labels >= 0).nonzero().squeeze(1)
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randperm(len(known), generator=generator)[: most or None]
    chosen = torch.zeros(len(labels), dtype=torch.bool)
    chosen[known[drawn]] = True
    rows, start = [], 0
    for batch in _batches(patches, device):
        x = inputs_of(feature, batch)
        rows.append(norm(x[chosen[start : start + len(x)].to(device)]))
        start += len(x)
    return PatchBank(feature, norm, torch.cat(rows), labels[chosen].to(device))


def _batches(patches: Patches, device: torch.device) -> Iterator[PatchBatch]:
    for rows in torch.arange(len(patches)).split(BATCH):
        yield patches.read(rows.tolist(), device)


def _labels(batch: PatchBatch) -> Int64[Tensor, " n"]:
    """The class of every patch; -1 where nothing counts."""
    shares, classes = batch.shares.flatten(0, 1).max(dim=1)
    return torch.where(shares > 0, classes, -1)
