"""The processes of a run: joining them, sums over them, and failing together. In a process that is
alone, nothing is exchanged.
"""

import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from importlib import import_module
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.rendezvous import rendezvous

from stellar.errors import FailedElsewhere, UserError, first_line
from stellar.processes.launch import LaunchError, Ranks
from stellar.processes.timeouts import rank_timeout

Result = TypeVar("Result")
PAUSE = 0.5
"""Seconds that gloo's threads are given to drop what they hold. It was enough in every trial, on a
busy machine too; nothing guarantees it.
"""
FAILED = "failed"
"""The key under which the first process to fail leaves its reason for the others."""


@contextmanager
def process_group(ranks: Ranks, device: torch.device) -> Iterator[None]:
    """Join the processes of a run for as long as the context lasts; alone, or where they are joined
    already, do nothing.

    When one fails, the others raise FailedElsewhere with its reason instead of an error of theirs
    that only follows from it.
    """
    if ranks.world_size == 1 or is_distributed():
        yield
        return
    # Imported before there is a group: else torch imports it with the first optimizer, and it would
    # hold on to the group for good.
    import_module("torch.distributed.nn.functional")
    url = f"tcp://{ranks.address}?rank={ranks.rank}&world_size={ranks.world_size}"
    timeout = timedelta(seconds=rank_timeout())
    try:
        store, *_ = next(rendezvous(url, timeout=timeout))
        dist.init_process_group(
            "nccl" if device.type == "cuda" else "gloo",
            store=store,
            rank=ranks.rank,
            world_size=ranks.world_size,
            timeout=timeout,
            device_id=device if device.type == "cuda" else None,
        )
    except (dist.DistError, OSError) as error:
        raise LaunchError(
            f"process {ranks.rank} of {ranks.world_size} cannot meet the others at "
            f"{ranks.address} ({_reason(error)}); see whether all of them were started, and "
            "whether this machine reaches that one"
        ) from error
    group = weakref.ref(dist.group.WORLD)
    try:
        yield
        # Not after a failure: it may wait for processes that are no more.
        dist.destroy_process_group()
    except Exception as error:  # whatever it is, the others must hear of it; it goes on its way
        _tell(store, ranks.rank, error)
        raise
    finally:
        _let_threads_end(group)


def _let_threads_end(group: weakref.ref) -> None:
    """Give gloo's threads the time to drop what they hold, unless they ended with their group.

    Such a thread drops the tensors of an exchange after everyone has its result, and needs Python
    for it: if Python ends meanwhile, the process is aborted, though all its work is done. The group
    lives on after a failure, and where torch keeps it, as FSDP's caches do.
    """
    if group() is not None:
        time.sleep(PAUSE)


def _tell(store: Any, rank: int, error: Exception) -> None:
    """Leave the reason for the others. Raises FailedElsewhere when another process was first, or
    when the error is only that one is gone.
    """
    lost = isinstance(error, dist.DistError) or "gloo/transport" in str(error)
    follows = lost or isinstance(error, FailedElsewhere)
    own = "" if follows else f"process {rank} failed: {_reason(error)}"
    try:
        first = store.compare_set(FAILED, "", own).decode()
    except (RuntimeError, dist.DistError):
        first = own
    if lost and not first:
        raise FailedElsewhere(
            f"process {rank} lost another one, which gave no reason; it was killed or is stuck, or "
            f"its machine failed ({_reason(error)}). Start again with --resume"
        ) from error
    if first != own and not isinstance(error, FailedElsewhere):
        raise FailedElsewhere(first) from error


def _reason(error: BaseException) -> str:
    """What an error says; where it is not meant for users, its type too."""
    line, kind = first_line(error), type(error).__name__
    return line if isinstance(error, UserError) or line == kind else f"{kind}: {line}"


def is_distributed() -> bool:
    """True when more than one process takes part."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def is_first() -> bool:
    """True in the process that writes and prints."""
    return not is_distributed() or dist.get_rank() == 0


@contextmanager
def together() -> Iterator[None]:
    """What is done here succeeds in all processes or fails in all: none is left waiting.

    Where it went well, FailedElsewhere tells of the first process where it did not.
    """
    failure: Exception | None = None
    try:
        yield
    except Exception as error:  # raised below, once the others have heard of it
        failure = error
    failures = gather_lists([_reason(failure) if failure else None])
    if failure is not None:
        raise failure
    for rank, reason in enumerate(failures):
        if reason is not None:
            raise FailedElsewhere(f"process {rank} failed: {reason}")


def on_first(action: Callable[[], Result]) -> Result:
    """The result of `action`, which the first process alone takes, in all processes; where it
    fails, all of them fail.
    """
    made = []
    with together():
        if is_first():
            made = [action()]
    return gather_lists(made)[0]


def gather_lists(own: list[Any]) -> list[Any]:
    """The items of all processes, in the order of their ranks."""
    if not is_distributed():
        return own
    parts: list[list[Any]] = [[] for _ in range(dist.get_world_size())]
    dist.all_gather_object(parts, own)
    return [item for part in parts for item in part]


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


def place(rows: int, device: torch.device) -> tuple[int, int]:
    """Where this process's rows begin in the batch that all share, and how many rows that has."""
    if not is_distributed():
        return 0, rows
    counts = torch.zeros(dist.get_world_size(), dtype=torch.int64, device=device)
    counts[dist.get_rank()] = rows
    counts = all_sum(counts).tolist()
    return sum(counts[: dist.get_rank()]), sum(counts)


def first_rows(value: Tensor, limit: int) -> Tensor:
    """The first rows of what all processes have, at most `limit`, in the order of ranks."""
    first, total = place(len(value), value.device)
    own = value[: max(0, limit - first)]
    whole = value.new_zeros(min(total, limit), *value.shape[1:])
    whole[first : first + len(own)] = own
    return all_sum(whole)
