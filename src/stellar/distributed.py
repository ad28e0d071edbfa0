"""The processes of a run: joining them, and sums and maxima over them. Alone, these are the
identity.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from stellar.launch import LaunchError, Ranks


def is_distributed() -> bool:
    """True when more than one process takes part."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def all_sum(value: Tensor) -> Tensor:
    """The sum over all processes."""
    if is_distributed():
        value = value.clone()
        dist.all_reduce(value, dist.ReduceOp.SUM)
    return value


def all_max(value: Tensor) -> Tensor:
    """The maximum over all processes."""
    if is_distributed():
        value = value.clone()
        dist.all_reduce(value, dist.ReduceOp.MAX)
    return value


def all_mean(value: Tensor) -> Tensor:
    """The mean over all processes."""
    return all_sum(value) / dist.get_world_size() if is_distributed() else value


def uniform(
    shape: Sequence[int], device: torch.device, generator: torch.Generator | None = None
) -> Tensor:
    """Random numbers in [0, 1) for this process's rows of a batch that all processes share.

    With generators of the same seed, the batch has the same numbers on any number of processes.
    """
    if not is_distributed():
        return torch.rand(*shape, generator=generator, device=device)
    rank, rows = dist.get_rank(), shape[0]
    whole = (dist.get_world_size() * rows, *shape[1:])
    return torch.rand(whole, generator=generator, device=device)[rank * rows : (rank + 1) * rows]


def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Replace every gradient by its mean over all processes, in one flat exchange."""
    if not is_distributed():
        return
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    flat = all_mean(torch.cat([gradient.flatten() for gradient in gradients]))
    for gradient, mean in zip(
        gradients, flat.split([gradient.numel() for gradient in gradients]), strict=True
    ):
        gradient.copy_(mean.view_as(gradient))


def own_device(device: torch.device, ranks: Ranks) -> torch.device:
    """The GPU of this process where there are several, else what was asked for."""
    if device.type != "cuda":
        return device
    if device.index is None:
        # SLURM may show each process its own GPU alone.
        count = torch.cuda.device_count()
        index = ranks.local_rank if count > 1 else 0
        if index >= count:
            raise LaunchError(
                f"process {ranks.local_rank} of this machine has no GPU, since there are {count}; "
                f"start {count} processes on each machine"
            )
        device = torch.device("cuda", index)
    torch.cuda.set_device(device)
    return device


@contextmanager
def process_group(device: torch.device) -> Iterator[Ranks]:
    """Join the processes that `torchrun` started, for as long as the context lasts; alone, do
    nothing.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield Ranks()
        return
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        local_rank = int(os.environ.get("LOCAL_RANK", "0"))
        yield Ranks(dist.get_rank(), dist.get_world_size(), local_rank)
    finally:
        dist.destroy_process_group()


def gather_lists(own: list[Any]) -> list[Any]:
    """The items of all processes, in the order of their ranks."""
    if not is_distributed():
        return own
    parts: list[list[Any]] = [[] for _ in range(dist.get_world_size())]
    dist.all_gather_object(parts, own)
    return [item for part in parts for item in part]
