"""What this machine can do at best, measured: matrix products in fp32 and bf16, and copies.

    python benchmarks/limits.py

The bound of a row that does f FLOP is f / matmul_flops(...) seconds; of one that moves b bytes,
b / bandwidth(...). They hold for the threads that torch has when they are first asked for. A count
of FLOP comes from `stellar.cost`.
"""

import sys
from collections.abc import Iterator
from functools import cache
from math import nan
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parent))

from stellar.precision import choose_device
from table import Row, medians, print_rows, unmeasured

SIDE = {"cpu": 2048, "cuda": 8192}
"""Of the square matrices."""
COPIED = {"cpu": 1 << 28, "cuda": 1 << 31}
"""Bytes of what is copied: more than a cache holds."""


def has_bf16(device: str | torch.device) -> bool:
    """Whether the hardware computes in bf16. A CPU that emulates it takes minutes for a product."""
    if torch.device(device).type != "cpu":
        return True
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def matmul_flops(dtype: torch.dtype, device: str | torch.device) -> float:
    """FLOP/s of a large matrix product in fp32, or in bf16 where the device `has_bf16`."""
    kind = torch.device(device).type
    return 2 * SIDE[kind] ** 3 / _seconds(kind, torch.get_num_threads())[str(dtype)]


def bandwidth(device: str | torch.device) -> float:
    """Bytes/s of a large copy, read and written."""
    kind = torch.device(device).type
    return 2 * COPIED[kind] / _seconds(kind, torch.get_num_threads())["copy"]


@cache
def _seconds(kind: str, _threads: int) -> dict[str, float]:
    """Medians of them, which take turns."""
    a = torch.randn(SIDE[kind], SIDE[kind], device=kind)
    low, source = a.bfloat16(), torch.ones(COPIED[kind], dtype=torch.uint8, device=kind)
    target = torch.empty_like(source)
    sides = {"torch.float32": lambda: a @ a, "copy": lambda: target.copy_(source)}
    if has_bf16(kind):
        sides["torch.bfloat16"] = lambda: low @ low
    return medians(sides, rounds=7)


def rows(toy: bool = False) -> Iterator[Row]:
    """The limits themselves, so that they stand beside what they bound."""
    device = choose_device("cpu" if toy else "auto")
    single = matmul_flops(torch.float32, device) / 1e9
    size = f"of {SIDE[device.type]} x {SIDE[device.type]}"
    yield Row("matrix products in fp32", "GFLOP/s", single, nan, None, note=size)
    if has_bf16(device):
        low = matmul_flops(torch.bfloat16, device) / 1e9
        note = f"{size}; plain: in fp32"
        yield Row("matrix products in bf16", "GFLOP/s", low, single, None, note=note)
    else:
        yield unmeasured("matrix products in bf16", "GFLOP/s", None, "this CPU emulates it")
    copy = bandwidth(device) / 1e9
    note = f"of {COPIED[device.type] >> 20} MiB, reading and writing counted"
    yield Row("copies", "GB/s", copy, nan, None, note=note)


if __name__ == "__main__":
    print_rows("What this machine can do at best", rows())
