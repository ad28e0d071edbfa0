"""The linear probe: 12 learning rates of 3 features trained at once, against one head at a time.

    python benchmarks/linear_probe.py

More heads are more multiplications, whatever the code, so on a device that a single head keeps
busy no code comes near the target; the limit says how near it could come.
"""

import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parent))

import limits
from stellar.evaluation.probes.holdout import shuffled
from stellar.evaluation.probes.linear import LEARNING_RATES, train_heads
from stellar.precision import choose_device
from table import Row, medians, print_rows

CLASSES, WIDTH, BATCH = 1_000, 768, 1024
SIZES = {"toy": (64, 1), "cpu": (5_120, 1), "cuda": (50_000, 10)}
"""Images and epochs: enough to time."""


def train(
    features: dict[str, Tensor], labels: Tensor, rates: tuple[float, ...], epochs: int
) -> None:
    images = len(labels)
    generator = torch.Generator().manual_seed(0)
    batches = list(shuffled(torch.arange(images), epochs, BATCH, generator))
    heads = train_heads(features, labels, batches, CLASSES, rates)
    heads["S"].bias.sum().item()  # waits for the device


def rows(rounds: int = 3, toy: bool = False) -> Iterator[Row]:
    """One row, in fp32."""
    torch.manual_seed(0)
    device = choose_device("auto")
    images, epochs = SIZES["toy" if toy else device.type]
    names = ("S", "cls", "U")
    features = {name: torch.randn(images, WIDTH, device=device) for name in names}
    labels = torch.randint(CLASSES, (images,), device=device)
    seconds = medians(
        {
            "all": partial(train, features, labels, LEARNING_RATES, epochs),
            "single": partial(train, {"S": features["S"]}, labels, LEARNING_RATES[6:7], epochs),
        },
        rounds,
    )
    heads = len(features) * len(LEARNING_RATES)
    flop = 4 * WIDTH * CLASSES * images * epochs * heads  # logits, and the gradient of the weights
    yield Row(
        f"linear probe: 12 rates x 3 features, {CLASSES} classes of {images:,} vectors",
        "s",
        seconds["all"],
        heads * seconds["single"],
        heads / 2,  # within twice the time of a single head
        flop / limits.matmul_flops(torch.float32, device),
        smaller_is_better=True,
        note=f"plain: {heads} heads one after the other, each like a single one, which takes "
        f"{seconds['single']:.2f} s; the target is twice that, and the limit counts the arithmetic",
    )


if __name__ == "__main__":
    print_rows("Linear probe", rows())
