"""Linear probes: LayerNorm and a linear layer for every feature and every learning rate, all
trained at once over the same batches.

Heads of one feature share its normalised rows x, so that their logits are one matrix product, and
so is the gradient of their cross-entropies,

    dW = (softmax(W x + b) - one_hot(y)) x^T, averaged over the batch.

Where an image may have several classes, y is multi-hot, the sigmoid takes the softmax's place, and
heads are judged by their mean average precision (average_precision.py) rather than by top-1.

LayerNorm has no gain and bias of its own, as the layer behind it can express both. Heads start at
zero; Adam without weight decay, a cosine schedule down to zero. The head is chosen on a tenth of
the training images that no head was trained on; the test images are read for the chosen one alone.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Float64, Int64
from torch import Tensor

from stellar.evaluation.metrics.average_precision import mean_average_precision
from stellar.evaluation.probes.holdout import hold_out, shuffled

LEARNING_RATES = tuple(10 ** (-5 + 3 * step / 11) for step in range(12))
BATCH = 1024
"""Pictures in a step."""


@dataclass(frozen=True)
class HeadScore:
    """One head on images that it was not trained on."""

    feature: str
    learning_rate: float
    accuracies: tuple[float, ...]
    """Top-1 and top-5, as shares; mean average precision alone where images have several classes.
    A head is chosen by the first.
    """
    loss: float


@dataclass(frozen=True)
class LinearResult:
    """The chosen head on the test images, and what it was chosen from."""

    feature: str
    learning_rate: float
    accuracies: tuple[float, ...]
    """Top-1 and top-5, or mean average precision alone."""
    by_feature: Mapping[str, HeadScore]
    """Of every feature, the head of its best learning rate, on the test images."""
    validation: tuple[HeadScore, ...]
    """Every head on the held-out tenth of the training images."""


@torch.no_grad()
def linear_probe(
    train: Mapping[str, Float[Tensor, "n _"]],
    train_labels: Int64[Tensor, " n"] | Bool[Tensor, "n c"],
    test: Mapping[str, Float[Tensor, "m _"]],
    test_labels: Int64[Tensor, " m"] | Bool[Tensor, "m c"],
    num_classes: int,
    learning_rates: Sequence[float] = LEARNING_RATES,
    epochs: int = 10,
    batch_size: int = BATCH,
    seed: int = 0,
) -> LinearResult:
    """The test score of the feature and learning rate that do best on held-out training images:
    most right at top-1 (or mean average precision), and among equals the least loss; and that of
    every feature with its best rate.

    Features may differ in width and be half precision. It runs where `test` is; `train` may be
    elsewhere (a memory map, say), and comes over batch by batch. `seed` decides which images are
    held out and the order of the others. A lone image is both.
    """
    device = next(iter(test.values())).device
    train_labels, test_labels = train_labels.to(device), test_labels.to(device)
    generator = torch.Generator().manual_seed(seed)
    heldout, fitted = hold_out(len(train_labels), generator)
    batches = list(shuffled(fitted, epochs, batch_size, generator))
    heads = train_heads(train, train_labels, batches, num_classes, learning_rates)
    parts = heldout.split(batch_size)
    validation = tuple(
        score for name in heads for score in heads[name].scores(train[name], train_labels, parts)
    )
    parts = torch.arange(len(test_labels)).split(batch_size)
    by_feature = {}
    for name, head in heads.items():
        rate = _best(score for score in validation if score.feature == name).learning_rate
        (by_feature[name],) = head.only(rate).scores(test[name], test_labels, parts)
    chosen = by_feature[_best(validation).feature]
    return LinearResult(
        chosen.feature, chosen.learning_rate, chosen.accuracies, by_feature, validation
    )


def _best(scores: Iterable[HeadScore]) -> HeadScore:
    return max(scores, key=lambda score: (score.accuracies[0], -score.loss))


@dataclass(frozen=True)
class Heads:
    """Linear layers on one normalised feature, one for each of r learning rates."""

    feature: str
    learning_rates: tuple[float, ...]
    weight: Float[Tensor, "r c d"]
    bias: Float[Tensor, "r c"]

    def only(self, learning_rate: float) -> "Heads":
        """The layer that was trained with this rate."""
        index = self.learning_rates.index(learning_rate)
        rows = slice(index, index + 1)
        return Heads(self.feature, (learning_rate,), self.weight[rows], self.bias[rows])

    def logits(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n r c"]:
        """What every layer says of these normalised rows."""
        joint = F.linear(x, self.weight.flatten(0, 1), self.bias.flatten())
        return joint.unflatten(1, self.bias.shape)

    def write_gradient(
        self,
        x: Float[Tensor, "n d"],
        labels: Int64[Tensor, " n"] | Bool[Tensor, "n c"],
        gradient: "Heads",
    ) -> None:
        """The gradient of each layer's mean cross-entropy, into `gradient`; of multi-hot labels,
        binary and summed over the classes.
        """
        if labels.ndim == 2:
            error = self.logits(x).sigmoid().sub_(labels[:, None].float())
        else:
            error = self.logits(x).softmax(dim=2)
            error[torch.arange(len(x), device=x.device), :, labels] -= 1
        error = error.div_(len(x)).flatten(1)
        torch.mm(error.T, x, out=gradient.weight.flatten(0, 1))
        torch.sum(error, dim=0, out=gradient.bias.flatten())

    def scores(
        self,
        features: Float[Tensor, "n d"],
        labels: Int64[Tensor, " n"] | Bool[Tensor, "n c"],
        parts: Sequence[Int64[Tensor, " _"]],
    ) -> list[HeadScore]:
        """Of each layer on the images with these indices."""
        judge = self._precision if labels.ndim == 2 else self._top
        rows = judge(features, labels, parts).tolist()
        return [
            HeadScore(self.feature, rate, tuple(accuracies), loss)
            for rate, (*accuracies, loss) in zip(self.learning_rates, rows, strict=True)
        ]

    def _top(
        self,
        features: Float[Tensor, "n d"],
        labels: Int64[Tensor, " n"],
        parts: Sequence[Int64[Tensor, " _"]],
    ) -> Float64[Tensor, "r 3"]:
        """Top-1, top-5 and cross-entropy of each layer."""
        totals = self.bias.new_zeros(3, len(self.learning_rates), dtype=torch.float64)
        for part in parts:
            logits = self.logits(normalised(features, part, labels.device))
            truth = labels[part, None, None].expand(-1, len(self.learning_rates), 1)
            hits = logits.topk(min(5, logits.shape[2]), dim=2).indices == truth
            loss = -logits.log_softmax(dim=2).gather(2, truth).squeeze(2)
            totals += torch.stack([hits[:, :, 0].sum(0), hits.any(dim=2).sum(0), loss.sum(0)])
        return (totals / sum(len(part) for part in parts)).T

    def _precision(
        self,
        features: Float[Tensor, "n d"],
        labels: Bool[Tensor, "n c"],
        parts: Sequence[Int64[Tensor, " _"]],
    ) -> Float64[Tensor, "r 2"]:
        """Mean average precision and binary cross-entropy of each layer."""
        truth = labels[torch.cat(list(parts))]
        said = [self.logits(normalised(features, part, labels.device)) for part in parts]
        rows = []
        for logits in torch.cat(said).unbind(dim=1):
            loss = F.binary_cross_entropy_with_logits(
                logits.double(), truth.double(), reduction="none"
            )
            rows.append(torch.stack([mean_average_precision(logits, truth), loss.sum(1).mean()]))
        return torch.stack(rows)


def normalised(
    features: Float[Tensor, "n d"], index: Int64[Tensor, " b"], device: torch.device
) -> Float[Tensor, "b d"]:
    """These rows on the device, in fp32, with mean 0 and variance 1."""
    rows = features[index].to(device, torch.float32)
    return F.layer_norm(rows, rows.shape[1:])


@torch.no_grad()
def train_heads(
    features: Mapping[str, Float[Tensor, "n _"]],
    labels: Int64[Tensor, " n"] | Bool[Tensor, "n c"],
    batches: Sequence[Int64[Tensor, " _"]],
    num_classes: int,
    learning_rates: Sequence[float],
) -> dict[str, Heads]:
    """The heads of every feature after a step on each of these batches of indices, on the labels'
    device.
    """

    def zeros(name: str) -> Heads:
        shape = (len(learning_rates), num_classes)
        weight = torch.zeros(*shape, features[name].shape[1], device=labels.device)
        return Heads(name, tuple(learning_rates), weight, torch.zeros(*shape, device=labels.device))

    heads = {name: zeros(name) for name in features}
    gradients = {name: zeros(name) for name in features}
    optimizer = _optimizer(heads, gradients, learning_rates)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, len(batches))
    for batch in batches:
        for name, head in heads.items():
            x = normalised(features[name], batch, labels.device)
            head.write_gradient(x, labels[batch], gradients[name])
        optimizer.step()
        schedule.step()
    return heads


def _optimizer(
    heads: Mapping[str, Heads], gradients: Mapping[str, Heads], learning_rates: Sequence[float]
) -> torch.optim.Optimizer:
    """Adam on every layer with its rate; layers and their gradients are views of the heads'."""
    groups = []
    for index, rate in enumerate(learning_rates):
        layers = []
        for name, head in heads.items():
            weight, bias = head.weight[index], head.bias[index]
            weight.grad, bias.grad = gradients[name].weight[index], gradients[name].bias[index]
            layers += [weight, bias]
        groups.append({"params": layers, "lr": rate})
    return torch.optim.Adam(groups, fused=True)
