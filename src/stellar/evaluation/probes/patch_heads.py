"""Linear classifiers of patches and of tokens, for every learning rate at once.

U and Z = L S are classified patch by patch. Tokens are classified one by one, and painted with L:

    p(c | patch p) = sum_k L_pk softmax(W s_k + b)_c

All are fitted to soft labels T by the cross-entropy -sum T_nc log softmax(W x_n + b)_c / sum T. For
patches T is H, the share of each class: the cross-entropy of all pixels that are not ignored. For
tokens it is L^T H, the pixels of each class that a token explains; as log is concave, that is an
upper bound of the cross-entropy of what they paint.

BatchNorm in front of the linear layer has the mean and variance of all training rows, which its
running averages would estimate; its gain and bias are in the layer behind it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from stellar.evaluation.features.patches import PatchBatch, Patches

Feature = Literal["U", "Z", "tokens"]
LEARNING_RATES = (1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1)
BATCH = 16
"""Pictures in a step."""
EPS = 1e-5


def inputs_of(feature: Feature, batch: PatchBatch) -> Float[Tensor, "n D"]:
    """The rows that are classified."""
    match feature:
        case "U":
            return batch.dense.flatten(0, 1)
        case "Z":
            return (batch.spatial @ batch.sparse).flatten(0, 1)
        case "tokens":
            return batch.sparse.flatten(0, 1)


def targets_of(feature: Feature, batch: PatchBatch) -> Float[Tensor, "n c"]:
    """T, the soft label of every row; its sum is the row's weight."""
    patches = batch.shares if feature != "tokens" else batch.spatial.mT @ batch.shares
    return patches.flatten(0, 1)


@dataclass(frozen=True)
class BatchNorm:
    """Rows with mean 0 and variance 1 over a training set."""

    mean: Float[Tensor, " D"]
    scale: Float[Tensor, " D"]

    def __call__(self, x: Float[Tensor, "n D"]) -> Float[Tensor, "n D"]:
        return (x - self.mean) * self.scale


def fit_norm(feature: Feature, patches: Patches, device: torch.device) -> BatchNorm:
    """Mean and variance of all rows, in one pass."""
    count, first, second = 0, torch.zeros(()), torch.zeros(())
    for rows in torch.arange(len(patches)).split(BATCH):
        x = inputs_of(feature, patches.read(rows.tolist(), device)).double().cpu()
        count, first, second = count + len(x), first + x.sum(0), second + x.square().sum(0)
    mean = first / count
    scale = ((second / count - mean.square()).clamp_min(0) + EPS).rsqrt()
    return BatchNorm(mean.float().to(device), scale.float().to(device))


@dataclass(frozen=True)
class PatchHeads:
    """r linear layers on one feature, behind the same BatchNorm."""

    feature: Feature
    norm: BatchNorm
    weight: Float[Tensor, "r c D"]
    bias: Float[Tensor, "r c"]

    def only(self, index: int) -> "PatchHeads":
        """One of them."""
        rows = slice(index, index + 1)
        return PatchHeads(self.feature, self.norm, self.weight[rows], self.bias[rows])

    def logits(self, batch: PatchBatch) -> Float[Tensor, "n r c"]:
        """What every layer says of each row."""
        x = self.norm(inputs_of(self.feature, batch))
        return F.linear(x, self.weight.flatten(0, 1), self.bias.flatten()).unflatten(
            1, self.bias.shape
        )

    def scores(self, batch: PatchBatch) -> Float[Tensor, "b P r c"]:
        """Of each class at every patch: logits, or the probabilities that tokens paint."""
        logits = self.logits(batch).unflatten(0, (len(batch.dense), -1))
        if self.feature != "tokens":
            return logits
        return torch.einsum("bpk,bkrc->bprc", batch.spatial, logits.softmax(dim=3))


def together(heads: Sequence[PatchHeads]) -> PatchHeads:
    """Heads on one feature as one."""
    weight, bias = torch.cat([h.weight for h in heads]), torch.cat([h.bias for h in heads])
    return PatchHeads(heads[0].feature, heads[0].norm, weight, bias)


def train_heads(
    feature: Feature,
    norm: BatchNorm,
    patches: Patches,
    batches: Sequence[Sequence[int]],
    learning_rates: Sequence[float] = LEARNING_RATES,
) -> PatchHeads:
    """A head for each learning rate, after a step on each of these batches of pictures.

    From zero, by Adam without weight decay, under a cosine schedule down to zero.
    """
    device = norm.mean.device
    num_classes, width = patches.num_classes, len(norm.mean)
    layers = [
        [torch.zeros(num_classes, width, device=device), torch.zeros(num_classes, device=device)]
        for _ in learning_rates
    ]
    groups = [
        {"params": [tensor.requires_grad_() for tensor in layer], "lr": rate}
        for layer, rate in zip(layers, learning_rates, strict=True)
    ]
    optimizer = torch.optim.Adam(groups, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(1, len(batches)))

    def heads() -> PatchHeads:
        weight, bias = (torch.stack(parts) for parts in zip(*layers, strict=True))
        return PatchHeads(feature, norm, weight, bias)

    for rows in batches:
        batch = patches.read(rows, device)
        target = targets_of(feature, batch).unsqueeze(1)
        loss = -(target * heads().logits(batch).log_softmax(dim=2)).sum()
        optimizer.zero_grad()
        (loss / target.sum().clamp_min(EPS)).backward()  # a sum: layers do not feel each other
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        return heads()
