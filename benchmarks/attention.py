"""Attention in bf16 on a CPU, forward and backward: torch's fused kernel against three plain
operations.
"""

import sys
from pathlib import Path
from statistics import median
from time import perf_counter

import torch
import torch.nn.functional as F
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parent))

from stellar.model.transformer import attend
from table import print_table

SHAPES = {
    "demo, masked views": (256, 4, 39, 32),
    "B/16, masked views": (16, 12, 56, 64),
    "B/16, full view": (2, 12, 213, 64),
    "B/16, full view at 448 px": (1, 12, 801, 64),
}


def seconds(attention, shape: tuple[int, ...]) -> float:
    q, k, v = (torch.randn(shape, dtype=torch.bfloat16, requires_grad=True) for _ in range(3))
    start = perf_counter()
    result: Tensor = attention(q, k, v)
    result.sum().backward()
    return perf_counter() - start


def main() -> None:
    rows = []
    for name, shape in SHAPES.items():
        rounds = [
            (seconds(F.scaled_dot_product_attention, shape), seconds(attend, shape))
            for _ in range(9)
        ]
        fused, ours = (1000 * median(times) for times in zip(*rounds[1:], strict=True))
        rows.append((name, str(shape), f"{fused:.1f}", f"{ours:.1f}", f"{fused / ours:.1f}"))
    columns = ("", "B, heads, tokens, width", "fused, ms", "plain, ms", "fused / plain")
    print_table("Attention in bf16 on a CPU, forward and backward", columns, rows)


if __name__ == "__main__":
    main()
