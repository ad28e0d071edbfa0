"""Attention in bf16, forward and backward: the kernel that `attend` takes for the device and the
number of tokens, against the one that torch takes by itself.

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
from stellar.precision import choose_device
from table import Row, medians, print_rows, replayed

SHAPES = {
    "cpu": {
        "demo, masked views": (256, 4, 39, 32),
        "B/16, masked views": (16, 12, 56, 64),
        "B/16, full view": (2, 12, 213, 64),
        "B/16, full view at 448 px": (1, 12, 801, 64),
    },
    "cuda": {"B/16, masked views": (512, 12, 56, 64), "B/16, full view": (128, 12, 213, 64)},
}
"""Images, heads, tokens, width of a head."""
NOTE = "plain: the kernel that torch takes by itself"


def forward_and_backward(attention, qkv: Tensor, gradient: Tensor) -> None:
    """In the layout that a block has them in: (images, tokens, 3, heads, width)."""
    attended = attention(*qkv.permute(2, 0, 3, 1, 4))
    attended.transpose(1, 2).flatten(2).backward(gradient)


def rows(rounds: int = 9) -> Iterator[Row]:
    """Milliseconds; the limit is six products of the size of the scores."""
    device = choose_device("auto")
    flops = limits.matmul_flops(torch.bfloat16, device)
    for name, shape in SHAPES[device.type].items():
        images, heads, tokens, width = shape
        qkv, gradient = (
            torch.randn(images, tokens, *rest, dtype=torch.bfloat16, device=device)
            for rest in ((3, heads, width), (heads * width,))
        )
        qkv.requires_grad_()
        sides = {
            "ours": partial(forward_and_backward, attend, qkv, gradient),
            "plain": partial(forward_and_backward, F.scaled_dot_product_attention, qkv, gradient),
        }
        for run in sides.values():
            run()
        sides = {side: replayed(run, device) for side, run in sides.items()}
        seconds = medians(sides, rounds)
        limit = 6 * 2 * images * heads * tokens**2 * width / flops
        ours, plain, limit = (1e3 * value for value in (seconds["ours"], seconds["plain"], limit))
        what = f"attention in bf16, {name}"
        yield Row(what, "ms", ours, plain, None, limit, smaller_is_better=True, note=NOTE)


if __name__ == "__main__":
    print_rows("Attention in bf16, forward and backward", rows())
