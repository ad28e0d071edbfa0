"""Attentive probes: a learned query looks at all vectors of a picture (the patches of U, the tokens
of S), and a linear layer names the class of what it saw. As CAPI's benchmark has it
(facebookresearch/capi, eval_classification.py), for every learning rate at once.

With h heads of d = D / h channels, query q, keys K x, values V x + b,

    a_hn = softmax_n(q_h . (K_h x_n) / sqrt(d)),   z_h = sum_n a_hn (V_h x_n + b_h)

As there is one query, q_h . (K_h x) = (K_h^T q_h) . x, and the sum goes inside V: x is read twice
with h vectors a picture, and keys and values of single patches are never made. Exact, and 2 d times
less work. The bias of the keys is left out: softmax does not feel it.

CAPI also sweeps the weight decay; here it has the middle one of its three values.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from stellar.evaluation.metrics.average_precision import mean_average_precision
from stellar.evaluation.probes.holdout import hold_out, shuffled

LEARNING_RATES = (1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2)
WEIGHT_DECAY = 1e-3
"""Of everything but biases."""
BETAS = (0.9, 0.95)
BATCH = 128
WARMUP = 0.1
"""Share of the steps in which the learning rate rises; it falls to zero along a cosine."""
HEAD_WIDTH = 64
START = 0.02
"""Standard deviation of all weights at the start, and of the query."""


@dataclass(frozen=True)
class AttentiveResult:
    """The probe that did best on held-out training pictures, on the test pictures."""

    learning_rate: float
    accuracy: float
    """Top-1, or mean average precision where pictures have several classes, as a share."""


@dataclass(frozen=True)
class AttentiveProbes:
    """One probe for each of r learning rates, all of them reading the same vectors."""

    query: Float[Tensor, "r h d"]
    key: Float[Tensor, "r h d D"]
    value: Float[Tensor, "r h d D"]
    value_bias: Float[Tensor, "r h d"]
    weight: Float[Tensor, "r c D"]
    bias: Float[Tensor, "r c"]

    def logits(self, x: Float[Tensor, "b n D"]) -> Float[Tensor, "b r c"]:
        """What every probe says of each picture."""
        sought = torch.einsum("rhd,rhdD->rhD", self.query, self.key)
        scores = torch.einsum("bnD,rhD->brhn", x, sought) / math.sqrt(self.query.shape[2])
        seen = torch.einsum("brhn,bnD->brhD", scores.softmax(dim=3), x)
        z = torch.einsum("brhD,rhdD->brhd", seen, self.value) + self.value_bias
        return torch.einsum("brD,rcD->brc", z.flatten(2), self.weight) + self.bias

    def only(self, index: int) -> "AttentiveProbes":
        """One of them."""
        rows = slice(index, index + 1)
        return AttentiveProbes(*(tensor[rows] for tensor in vars(self).values()))


def num_heads(width: int) -> int:
    """Heads of 64 channels; of more, where 64 does not divide the width."""
    return next(h for h in range(max(1, width // HEAD_WIDTH), 0, -1) if width % h == 0)


def attentive_probe(
    train: Float[Tensor, "n v D"],
    train_labels: Int64[Tensor, " n"] | Bool[Tensor, "n c"],
    test: Float[Tensor, "m v D"],
    test_labels: Int64[Tensor, " m"] | Bool[Tensor, "m c"],
    num_classes: int,
    device: torch.device,
    learning_rates: Sequence[float] = LEARNING_RATES,
    epochs: int = 10,
    seed: int = 0,
) -> AttentiveResult:
    """The test score of the learning rate that does best on a held-out tenth of the training
    pictures, and among equals has the least loss.

    Vectors may be memory maps in half precision: a batch at a time comes over to `device`. `seed`
    decides the weights at the start, which pictures are held out, and the order of the others.
    """
    generator = torch.Generator().manual_seed(seed)
    heldout, fitted = hold_out(len(train), generator)
    batches = list(shuffled(fitted, epochs, BATCH, generator))
    probes = train_probes(
        train, train_labels, batches, num_classes, device, learning_rates, generator
    )
    found = _judged(probes, train, train_labels, heldout)
    best = max(range(len(found)), key=lambda index: (found[index][0], -found[index][1]))
    ((accuracy, _),) = _judged(probes.only(best), test, test_labels, torch.arange(len(test)))
    return AttentiveResult(learning_rates[best], accuracy)


def start(
    width: int, num_classes: int, count: int, generator: torch.Generator
) -> list[AttentiveProbes]:
    """`count` probes of one rate each, all beginning at the same numbers."""
    heads = num_heads(width)
    size = (heads, width // heads)

    def drawn(*shape: int) -> Tensor:
        return torch.nn.init.trunc_normal_(torch.empty(1, *shape), std=START, generator=generator)

    first = AttentiveProbes(
        query=drawn(*size),
        key=drawn(*size, width),
        value=drawn(*size, width),
        value_bias=torch.zeros(1, *size),
        weight=drawn(num_classes, width),
        bias=torch.zeros(1, num_classes),
    )
    return [AttentiveProbes(*(t.clone() for t in vars(first).values())) for _ in range(count)]


def train_probes(
    vectors: Float[Tensor, "n v D"],
    labels: Int64[Tensor, " n"] | Bool[Tensor, "n c"],
    batches: Sequence[Int64[Tensor, " _"]],
    num_classes: int,
    device: torch.device,
    learning_rates: Sequence[float],
    generator: torch.Generator,
) -> AttentiveProbes:
    """A probe for each learning rate, after a step of AdamW on each of these batches of indices."""
    single = [
        AttentiveProbes(*(t.to(device).requires_grad_() for t in vars(probe).values()))
        for probe in start(vectors.shape[2], num_classes, len(learning_rates), generator)
    ]
    groups = []
    for probe, rate in zip(single, learning_rates, strict=True):
        for tensors, decay in (
            ((probe.query, probe.key, probe.value, probe.weight), WEIGHT_DECAY),
            ((probe.value_bias, probe.bias), 0.0),
        ):
            groups.append({"params": list(tensors), "lr": rate, "weight_decay": decay})
    optimizer = torch.optim.AdamW(groups, betas=BETAS, fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: _warmup_then_cosine(step, len(batches))
    )
    for batch in batches:
        logits = _together(single).logits(vectors[batch].to(device, torch.float32))
        optimizer.zero_grad()
        _losses(logits, labels[batch].to(device)).sum().backward()  # probes do not feel each other
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        return _together(single)


def _warmup_then_cosine(step: int, steps: int) -> float:
    """The share of the peak learning rate in step t of T, of which w are the warmup: (t + 1) / w,
    and from the end of the warmup on (1 + cos(pi (t - w) / (T - w))) / 2.
    """
    warmup = max(1, round(WARMUP * steps))
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


def _together(probes: Sequence[AttentiveProbes]) -> AttentiveProbes:
    """Probes of one rate each as one."""
    parts = zip(*(vars(probe).values() for probe in probes), strict=True)
    return AttentiveProbes(*(torch.cat(part) for part in parts))


def _losses(
    logits: Float[Tensor, "b r c"], labels: Int64[Tensor, " b"] | Bool[Tensor, "b c"]
) -> Float[Tensor, " r"]:
    """The mean cross-entropy of each probe; of several classes, binary and summed over them."""
    if labels.ndim == 2:
        truth = labels[:, None].float().expand_as(logits)
        each = F.binary_cross_entropy_with_logits(logits, truth, reduction="none").sum(dim=2)
    else:
        truth = labels[:, None].expand(-1, logits.shape[1])
        each = F.cross_entropy(logits.mT, truth, reduction="none")
    return each.mean(dim=0)


@torch.no_grad()
def _judged(
    probes: AttentiveProbes,
    vectors: Float[Tensor, "n v D"],
    labels: Int64[Tensor, " n"] | Bool[Tensor, "n c"],
    rows: Int64[Tensor, " _"],
) -> list[tuple[float, float]]:
    """Accuracy and loss of each probe on the pictures of these rows."""
    device = probes.bias.device
    logits = torch.cat(
        [probes.logits(vectors[part].to(device, torch.float32)).cpu() for part in rows.split(BATCH)]
    )
    truth = labels[rows]
    losses = _losses(logits, truth).tolist()
    if truth.ndim == 2:
        shares = [mean_average_precision(each, truth).item() for each in logits.unbind(dim=1)]
    else:
        shares = (logits.argmax(dim=2) == truth[:, None]).double().mean(dim=0).tolist()
    return list(zip(shares, losses, strict=True))
