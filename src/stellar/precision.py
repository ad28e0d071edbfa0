"""Devices, and the precision that their hardware computes in."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache
from pathlib import Path

import torch
from torch import nn

from stellar.errors import UserError, first_line

Autocast = Callable[[], AbstractContextManager]
"""A context for the networks, to be entered any number of times."""


def resolve_precision(precision: str, device: torch.device) -> str:
    """`auto` becomes bf16 where the device computes faster in it than in fp32: recent GPUs, CPUs
    with AMX, and those of AMD with AVX512-BF16 (on Intel's, that alone takes twice the time of
    fp32: `python benchmarks/limits.py`).
    """
    if precision != "auto":
        return precision
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    if device.type == "cpu":
        return "bf16" if cpu_gains_by_bf16() else "fp32"
    return "fp32"


@cache
def cpu_gains_by_bf16(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether this CPU computes faster in bf16 than in fp32; its vendor is in the file on Linux."""
    if torch.cpu._is_amx_tile_supported():
        return True
    is_amd = cpuinfo.is_file() and "AuthenticAMD" in cpuinfo.read_text("utf-8", "replace")
    return is_amd and torch.cpu._is_avx512_bf16_supported()


def autocast(precision: str, device: torch.device) -> Autocast:
    """A context for the networks in this precision (after `resolve_precision`)."""
    if precision == "bf16":
        return lambda: torch.autocast(device.type, dtype=torch.bfloat16)
    return nullcontext


@contextmanager
def inference(model: nn.Module) -> Iterator[None]:
    """A context for encoding: without gradients, in the precision that the model's device computes
    in; a model whose weights are not fp32 keeps its own.
    """
    weights = next(model.parameters())
    chosen = nullcontext
    if weights.dtype == torch.float32:
        chosen = autocast(resolve_precision("auto", weights.device), weights.device)
    with torch.inference_mode(), chosen():
        yield


def choose_device(device: str | torch.device) -> torch.device:
    """`auto` is a GPU if there is one, else the CPU. Raises UserError for a device that is not
    there.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
    except (RuntimeError, TypeError) as error:  # whose message lists twenty kinds of devices
        raise UserError(f"there is no device {device!r}; choose auto, cpu or cuda") from error
    try:
        torch.zeros(1, device=chosen).cpu()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        why = first_line(error).partition(". ")[0]  # torch goes on about each of its backends
        raise UserError(
            f"device {str(device)!r} cannot be used ({why}); choose auto, cpu or cuda"
        ) from error
    return chosen
