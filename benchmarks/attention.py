"""Attention in bf16 on a CPU, forward and backward: three plain operations, which `attend` takes
there, against torch's fused kernel.

    python benchmarks/attention.py
"""

import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parent))

import limits
from stellar.model.transformer import attend
from table import Row, medians, print_rows

SHAPES = {
    "demo, masked views": (256, 4, 39, 32),
    "B/16, masked views": (16, 12, 56, 64),
    "B/16, full view": (2, 12, 213, 64),
    "B/16, full view at 448 px": (1, 12, 801, 64),
}
"""Images, heads, tokens, width of a head."""
NOTE = "plain: torch's fused kernel, whose backward pass is slow in bf16 on a CPU"


def forward_and_backward(attention, q: Tensor, k: Tensor, v: Tensor) -> None:
    attention(q, k, v).sum().backward()


def rows(rounds: int = 9) -> Iterator[Row]:
    """Milliseconds; the limit is six products of the size of the scores."""
    flops = limits.matmul_flops(torch.bfloat16, "cpu")
    for name, shape in SHAPES.items():
        qkv = [torch.randn(shape, dtype=torch.bfloat16, requires_grad=True) for _ in range(3)]
        seconds = medians(
            {
                "ours": partial(forward_and_backward, attend, *qkv),
                "plain": partial(forward_and_backward, F.scaled_dot_product_attention, *qkv),
            },
            rounds,
        )
        batch, heads, tokens, width = shape
        limit = 6 * 2 * batch * heads * tokens**2 * width / flops
        ours, plain, limit = (1e3 * value for value in (seconds["ours"], seconds["plain"], limit))
        what = f"attention in bf16 on the CPU: {name}"
        yield Row(what, "ms", ours, plain, None, limit, smaller_is_better=True, note=NOTE)


if __name__ == "__main__":
    print_rows("Attention in bf16 on a CPU, forward and backward", rows())
