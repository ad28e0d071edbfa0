"""Attention in bf16, forward and backward: the kernel that `attend` takes for the device and the
number of tokens, and others, against the one that torch takes by itself; and two groups of views in
one call of variable length against a call for each.

    python benchmarks/attention.py
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

sys.path.insert(0, str(Path(__file__).parent))

import limits
from stellar.model.transformer import attend
from stellar.precision import choose_device
from table import Row, medians, print_rows, replayed, unmeasured

Attention = Callable[[Tensor, Tensor, Tensor], Tensor]
Shape = tuple[int, int, int, int]
"""Images, heads, tokens, width of a head."""
SHAPES: dict[str, dict[str, Shape]] = {
    "toy": {"toy": (2, 2, 8, 16)},
    "cpu": {
        "demo, masked views": (256, 4, 39, 32),
        "B/16, masked views": (16, 12, 56, 64),
        "B/16, full view": (2, 12, 213, 64),
        "B/16, full view at 448 px": (1, 12, 801, 64),
    },
    "cuda": {
        "B/16, masked views": (512, 12, 56, 64),
        "B/16, local views": (512, 12, 53, 64),
        "B/16, full view": (128, 12, 213, 64),
    },
}
KERNELS = {
    "cuDNN": SDPBackend.CUDNN_ATTENTION,
    "flash": SDPBackend.FLASH_ATTENTION,
    "memory-efficient": SDPBackend.EFFICIENT_ATTENTION,
}


def by_kernel(kernel: SDPBackend, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """With this kernel, or plain operations where it cannot be had."""
    with sdpa_kernel([kernel, SDPBackend.MATH], set_priority=True):
        return F.scaled_dot_product_attention(q, k, v)


def taken(qkv: Tensor, kernel: SDPBackend | None = None) -> SDPBackend:
    """The kernel that torch takes, by itself or when this one is asked for."""
    q, k, v = qkv.permute(2, 0, 3, 1, 4)
    with nullcontext() if kernel is None else sdpa_kernel([kernel, SDPBackend.MATH], True):
        return SDPBackend(torch.ops.aten._fused_sdp_choice(q, k, v))


def tensors(shape: Shape, device: torch.device) -> tuple[Tensor, Tensor]:
    """Queries, keys and values as a block has them, (images, tokens, 3, heads, width); and the
    gradient of what attention makes of them.
    """
    images, heads, tokens, width = shape
    qkv, gradient = (
        torch.randn(images, tokens, *rest, dtype=torch.bfloat16, device=device)
        for rest in ((3, heads, width), (heads * width,))
    )
    return qkv.requires_grad_(), gradient


def forward_and_backward(attention: Attention, qkv: Tensor, gradient: Tensor) -> None:
    attended = attention(*qkv.permute(2, 0, 3, 1, 4))
    attended.transpose(1, 2).flatten(2).backward(gradient)


def rows(toy: bool = False, rounds: int = 9) -> Iterator[Row]:
    """Milliseconds; the limit is six products of the size of the scores."""
    device = choose_device("auto")
    gpu = device.type == "cuda"
    if not limits.has_bf16(device):
        yield unmeasured("attention in bf16", "ms", None, "this CPU emulates it")
        return
    shapes = SHAPES["toy" if toy else device.type]
    for name, shape in shapes.items():
        qkv, gradient = tensors(shape, device)
        ways: dict[str, Attention] = {
            "ours": attend,
            "plain": F.scaled_dot_product_attention,
            **(
                {k: partial(by_kernel, kernel) for k, kernel in KERNELS.items()}
                if gpu or toy
                else {}
            ),
        }
        seconds = timed(
            {way: partial(forward_and_backward, a, qkv, gradient) for way, a in ways.items()},
            device,
            rounds,
        )
        images, heads, tokens, width = shape
        flop = 6 * 2 * images * heads * tokens**2 * width
        limit = 1e3 * flop / limits.matmul_flops(torch.bfloat16, device)
        note = f"plain: the kernel that torch takes by itself, here {taken(qkv).name}"
        for way in (way for way in ways if way != "plain"):
            what = f"attention in bf16, {name}" + ("" if way == "ours" else f", by {way}")
            if gpu and way in KERNELS and taken(qkv, KERNELS[way]) != KERNELS[way]:
                yield unmeasured(what, "ms", None, "torch refuses it for these sizes")
                continue
            yield Row(
                what, "ms", 1e3 * seconds[way], 1e3 * seconds["plain"], None, limit,
                smaller_is_better=True, note=note,
            )  # fmt: skip
    if gpu:
        yield packed_row(shapes["B/16, masked views"], shapes["B/16, local views"], device, rounds)


def timed(
    sides: dict[str, Callable[[], None]], device: torch.device, rounds: int
) -> dict[str, float]:
    """Median seconds of each, which has run before; on a GPU as a graph."""
    for run in sides.values():
        run()
    return medians({side: replayed(run, device) for side, run in sides.items()}, rounds)


def packed_row(one: Shape, other: Shape, device: torch.device, rounds: int) -> Row:
    """Both groups of views in one call, their tokens one after the other; a GPU's kernel alone."""
    from torch.nn.attention.varlen import varlen_attn

    parts = [tensors(shape, device) for shape in (one, other)]
    qkv = torch.cat([part.detach().flatten(0, 1) for part, _ in parts]).requires_grad_()
    gradient = torch.cat([part.flatten(0, 1) for _, part in parts])
    lengths = torch.tensor([n for images, _, n, _ in (one, other) for n in [n] * images])
    ends = F.pad(lengths.cumsum(0), (1, 0)).int().to(device)
    longest = int(lengths.max())

    def together() -> None:
        q, k, v = qkv.unbind(1)
        attended = varlen_attn(q, k, v, ends, ends, longest, longest)
        assert isinstance(attended, Tensor)
        attended.flatten(1).backward(gradient)

    def apart() -> None:
        for part, its in parts:
            forward_and_backward(attend, part, its)

    seconds = timed({"ours": together, "plain": apart}, device, rounds)
    return Row(
        "attention in bf16, B/16, masked and local views in one call", "ms",
        1e3 * seconds["ours"], 1e3 * seconds["plain"], None, smaller_is_better=True,
        note="plain: a call for each",
    )  # fmt: skip


if __name__ == "__main__":
    print_rows("Attention in bf16, forward and backward", rows())
