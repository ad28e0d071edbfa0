"""Devices, and the precision that their hardware computes in."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch

from stellar.errors import UserError


def resolve_precision(precision: str, device: torch.device) -> str:
    """`auto` becomes bf16 where the device computes in it: recent GPUs, and CPUs with
    AVX512-BF16.
    """
    if precision != "auto":
        return precision
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    if device.type == "cpu":
        return "bf16" if torch.cpu._is_avx512_bf16_supported() else "fp32"
    return "fp32"


def autocast(precision: str, device: torch.device) -> Callable[[], AbstractContextManager]:
    """A context for the networks in this precision (after `resolve_precision`)."""
    if precision == "bf16":
        return lambda: torch.autocast(device.type, dtype=torch.bfloat16)
    return nullcontext


@contextmanager
def inference(device: torch.device) -> Iterator[None]:
    """A context for encoding: without gradients, in the precision that the device computes in."""
    with torch.inference_mode(), autocast(resolve_precision("auto", device), device)():
        yield


def choose_device(device: str) -> torch.device:
    """`auto` is a GPU if there is one, else the CPU. Raises UserError for a device that is not
    there.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
        torch.zeros(1, device=chosen)
    except (RuntimeError, AssertionError) as error:
        raise UserError(
            f"device {device!r} cannot be used ({str(error).splitlines()[0]}); "
            "choose auto, cpu or cuda"
        ) from error
    return chosen
