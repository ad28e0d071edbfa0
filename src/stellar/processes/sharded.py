"""Tensors that are split over the processes (FSDP's DTensors) beside plain ones, which every
process holds whole: all of a tensor, one process's part of it, and gradients of both kinds,
summed and clipped together.
"""

from collections.abc import Iterable, Sequence

import torch
import torch.distributed as dist
from torch import Tensor, nn

from stellar.processes.exchange import is_distributed, is_first

LARGE = 1 << 18
"""From so many numbers on, a gradient is exchanged by itself, without a copy; smaller ones share a
message.
"""


def is_sharded(tensor: Tensor) -> bool:
    """True for a tensor that is split over the processes. Its class is not imported for the
    answer: that is slow.
    """
    return hasattr(tensor, "full_tensor")


def whole(tensor: Tensor) -> Tensor:
    """All of a tensor; where it is split, all processes must ask for it."""
    return tensor.full_tensor() if is_sharded(tensor) else tensor  # pyright: ignore


def split_like(tensor: Tensor, like: Tensor) -> Tensor:
    """A whole tensor as `like` is: split in the same way, on the same device."""
    tensor = tensor.to(like.device)
    if not is_sharded(like):
        return tensor
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(tensor, like.device_mesh, like.placements, src_data_rank=None)  # pyright: ignore


def gathered(tensors: Iterable[tuple[str, Tensor]]) -> dict[str, Tensor]:
    """The whole tensors in the memory of the first process's CPU, one after the other; the others
    get none of them.
    """
    found = {}
    for name, tensor in tensors:
        tensor = whole(tensor.detach())
        if is_first():
            found[name] = tensor.cpu().contiguous()
    return found


def by_kind(parameters: Iterable[nn.Parameter]) -> list[list[nn.Parameter]]:
    """Plain and split parameters in lists of their own, since no operation on lists takes both."""
    kinds: dict[bool, list[nn.Parameter]] = {}
    for parameter in parameters:
        kinds.setdefault(is_sharded(parameter), []).append(parameter)
    return list(kinds.values())


def sum_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Replace every gradient by its sum over all processes: large ones in place, the others in one
    message. Those of sharded parameters were summed in their backward pass.
    """
    gradients = [p.grad for p in parameters if p.grad is not None and not is_sharded(p)]
    if not is_distributed() or not gradients:
        return
    large, small = [], []
    for gradient in gradients:
        alone = gradient.numel() >= LARGE and gradient.is_contiguous()
        (large if alone else small).append(gradient)
    message = torch.cat([gradients[0].new_empty(0), *(gradient.flatten() for gradient in small)])
    exchanges = [dist.all_reduce(each, async_op=True) for each in (*large, message)]
    for exchange in filter(None, exchanges):
        exchange.wait()
    sizes = [gradient.numel() for gradient in small]
    for gradient, total in zip(small, message.split(sizes), strict=True):
        gradient.copy_(total.view_as(gradient))


def clip_gradients(parameters: Sequence[nn.Parameter], largest: float) -> Tensor:
    """Scale all gradients down to a norm of `largest` together, if it is more; 0: never. Returns
    the norm before.
    """
    kinds = by_kind(parameters)
    norms = [whole(torch.nn.utils.get_total_norm(_gradients(kind))) for kind in kinds]
    norm = torch.nn.utils.get_total_norm(norms)
    if largest:
        for kind in kinds:
            torch.nn.utils.clip_grads_with_norm_(kind, largest, norm)
    return norm


def _gradients(parameters: Iterable[nn.Parameter]) -> list[Tensor]:
    return [parameter.grad for parameter in parameters if parameter.grad is not None]
