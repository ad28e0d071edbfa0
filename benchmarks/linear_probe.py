"""The linear probe: all learning rates and features at once, against a single head.

Each round times every case once, one after the other; the table shows medians. More heads are more
multiplications, whatever the code: the last column says how much more of them a second are done.
"""

import argparse
import sys
from pathlib import Path
from statistics import median
from time import perf_counter

import torch

sys.path.insert(0, str(Path(__file__).parent))

from stellar.evaluation.linear import LEARNING_RATES, train_heads
from stellar.precision import choose_device
from table import print_table


def training_seconds(
    features: dict[str, torch.Tensor],
    labels: torch.Tensor,
    rates: tuple[float, ...],
    options: argparse.Namespace,
) -> float:
    generator = torch.Generator().manual_seed(0)
    batches = [
        batch
        for _ in range(options.epochs)
        for batch in torch.randperm(len(labels), generator=generator).split(options.batch)
    ]
    start = perf_counter()
    heads = train_heads(features, labels, batches, options.classes, rates)
    heads["S"].bias.sum().item()  # waits for the device
    return perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=50_000)
    parser.add_argument("--width", type=int, default=768)
    parser.add_argument("--classes", type=int, default=1_000)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--batch", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tf32", action="store_true", help="matrix products of a GPU in TF32")
    options = parser.parse_args()
    torch.manual_seed(0)
    if options.tf32:
        torch.set_float32_matmul_precision("high")
    device = choose_device("auto")
    features = {
        name: torch.randn(options.images, options.width, device=device)
        for name in ("S", "cls", "U")
    }
    labels = torch.randint(options.classes, (options.images,), device=device)
    one = {"S": features["S"]}
    cases = {
        "one head": (one, LEARNING_RATES[6:7]),
        "12 rates": (one, LEARNING_RATES),
        "12 rates x 3 features": (features, LEARNING_RATES),
    }
    times: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(options.rounds + 1):
        for name, (rows, rates) in cases.items():
            times[name].append(training_seconds(rows, labels, rates, options))
    seconds = {name: median(taken[1:]) for name, taken in times.items()}
    single = seconds["one head"]
    rows = []
    for name, (chosen, rates) in cases.items():
        heads = len(chosen) * len(rates)
        ratio = seconds[name] / single
        rows.append((name, f"{seconds[name]:.2f}", f"{ratio:.2f}", f"{heads / ratio:.2f}"))
    title = (
        f"Linear probe, {options.images} vectors of width {options.width}, {options.classes} "
        f"classes, {options.epochs} epochs, batches of {options.batch}"
    )
    print_table(title, ("", "s", "/ one head", "heads a second / one head"), rows)


if __name__ == "__main__":
    main()
