"""Batches of views in an order that is a function of (seed, step) alone.

The epochs' permutations, one after the other, are one endless sequence of samples. Step t takes the
next G of them (G images over all ranks) and each rank a contiguous share, so a run can start at any
step and on any number of ranks, and a batch may run over the end of an epoch.
"""

import atexit
import multiprocessing
import re
import signal
from collections.abc import Callable, Generator, Iterable, Iterator
from functools import lru_cache, partial
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler, get_worker_info

from stellar.data.folder import DataError
from stellar.data.views import Batch, MultiView
from stellar.errors import UserError
from stellar.processes.timeouts import WORKER, worker_timeout
from stellar.storage import stopping_later


def view_batches(
    dataset: MultiView,
    batch_size: int,
    seed: int,
    start_step: int,
    num_steps: int,
    rank: int = 0,
    world_size: int = 1,
    num_workers: int = 0,
    device: torch.device | str = "cpu",
) -> Generator[Batch, None, None]:
    """This rank's batches of steps `start_step` to `start_step + num_steps - 1`, on the CPU.

    `batch_size` is the number of images of one step, over all ranks. Memory is pinned when
    `device` is a GPU. A worker that dies or hangs is a DataError; workers are not restarted.
    """
    sampler = StepSampler(len(dataset), batch_size, seed, start_step, num_steps, rank, world_size)
    yield from loaded(dataset, sampler, _as_it_is, num_workers, device)


def loaded(
    dataset: Dataset[Any],
    batches: Iterable[list[Any]],
    collate: Callable[[Any], Any],
    num_workers: int = 0,
    device: torch.device | str = "cpu",
) -> Generator[Any, None, None]:
    """What `collate` makes of each list of keys, in order, by the same workers all the time; a
    batch has `share_memory`, and `pin_memory`, which is called when `device` is a GPU.

    Whatever ends the loop, the workers end too. What a worker cannot do is raised here as it was
    there. Raises DataError when shared memory is full, or when a worker dies or is stuck.
    """
    loader = DataLoader(
        _Batches(dataset, collate),
        batch_sampler=batches,
        collate_fn=_as_it_is,
        num_workers=num_workers,
        worker_init_fn=prepare_worker,
        timeout=worker_timeout() if num_workers > 0 else 0,
        pin_memory=torch.device(device).type == "cuda",
        # DataLoader draws a seed from it; without it, from the process's own random state.
        generator=torch.Generator(),
    )
    started: list[Any] = []
    # Workers that ignore SIGTERM would keep the interpreter from ending, which waits for them.
    end_workers = partial(_end_workers, started)
    atexit.register(end_workers)
    try:
        with stopping_later():  # else workers that are being started would be nobody's
            started.append(iter(loader))
        for batch in started[0]:
            if isinstance(batch, Exception):
                raise batch
            yield batch
    except (ConnectionError, EOFError) as error:
        # DataLoader says so itself unless the worker died while it was handing over a batch.
        raise DataError(_ended()) from error
    except RuntimeError as error:
        if (sentence := sentence_of_workers(error)) is None:
            raise
        raise DataError(sentence) from error
    finally:
        end_workers()
        atexit.unregister(end_workers)


def _end_workers(started: list[Any]) -> None:
    """DataLoader asks its workers to end, and sends SIGTERM to those that do not, which ignore it:
    one that is stuck would stay for ever.
    """
    for iterator in started:
        workers = getattr(iterator, "_workers", ())
        if workers:
            iterator._shutdown_workers()
        for worker in workers:
            if worker.is_alive():
                worker.kill()
                worker.join()


DIED = (
    "a process that reads images was killed, most often because the machine ran out of memory; "
    "lower num_workers (0 reads in the main process) or batch_size, and give the same command again"
)
UNGUARDED = (
    "a process that reads images ended: where processes are not forked, as on macOS and Windows, "
    "each begins by running the script again, so what a script calls belongs below "
    '`if __name__ == "__main__":`; where it is, the machine most often ran out of memory: lower '
    "num_workers (0 reads in the main process) or batch_size, and give the same command again"
)
FULL = (
    "the shared memory through which loader workers hand over their batches is full; give the "
    "container more (docker run --shm-size 8g), lower batch_size or num_workers, or set "
    "num_workers to 0, which needs none"
)
STUCK = (
    "no batch of images came for SECONDS seconds: the disk or the server that they lie on may "
    f"hang; see whether it answers, or let the environment variable {WORKER} be more seconds than "
    "it may take"
)


def _ended() -> str:
    """Why a worker ended by itself, most likely, by the way in which processes are started."""
    return DIED if multiprocessing.get_start_method() == "fork" else UNGUARDED


def sentence_of_workers(error: Exception) -> str | None:
    """What DataLoader says of its workers, for users; None for anything else. That one was killed
    it says at any time, also when nobody asks for a batch.
    """
    said = f"{error} {error.__cause__}"
    if (
        "shared memory" in said
        or "unable to resize file" in said
        or "unable to write to file" in said
    ):
        return FULL
    if re.search(r"DataLoader worker .*killed by signal", said):
        return DIED
    if re.search(r"DataLoader worker .*exited unexpectedly", said):
        return _ended()
    return (
        STUCK.replace("SECONDS", str(worker_timeout())) if "DataLoader timed out" in said else None
    )


class _Batches(Dataset[Any]):
    """Batches as a data set, so that all of the work on one is in one place, and in a worker.

    What goes wrong with the data or the machine is handed over as it is: DataLoader would put the
    worker's traceback into its message.
    """

    def __init__(self, dataset: Dataset[Any], collate: Callable[[Any], Any]) -> None:
        self.dataset, self.collate = dataset, collate

    def __len__(self) -> int:
        return len(self.dataset)  # pyright: ignore

    def __getitems__(self, keys: list[Any]) -> Any:
        try:
            whole = getattr(self.dataset, "__getitems__", None)
            items = whole(keys) if whole else [self.dataset[key] for key in keys]
            batch = self.collate(items)
        except (UserError, OSError, MemoryError) as error:
            return error
        # Shared by this thread: where there is no room, an error in the one that DataLoader shares
        # it in would be lost, and the main process would wait for ever.
        return batch if get_worker_info() is None else batch.share_memory()


def _as_it_is(batch: Any) -> Any:
    """MultiView makes whole batches; nothing is left to collate."""
    return batch


class StepSampler(Sampler[list[tuple[int, int]]]):
    """The (epoch, index) keys of one rank's share of each step."""

    def __init__(
        self,
        num_images: int,
        batch_size: int,
        seed: int,
        start_step: int,
        num_steps: int,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self.num_images, self.batch_size, self.seed = num_images, batch_size, seed
        self.steps = range(start_step, start_step + num_steps)
        self.rank, self.world_size = rank, world_size
        self._permutation = lru_cache(maxsize=2)(self._draw_permutation)

    def __len__(self) -> int:
        return len(self.steps)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        return (self.keys(step) for step in self.steps)

    def keys(self, step: int) -> list[tuple[int, int]]:
        """The samples of one step, on this rank."""
        own = share(self.batch_size, self.rank, self.world_size)
        places = (divmod(step * self.batch_size + place, self.num_images) for place in own)
        return [(epoch, int(self._permutation(epoch)[place])) for epoch, place in places]

    def _draw_permutation(self, epoch: int) -> np.ndarray:
        return np.random.default_rng([self.seed, epoch]).permutation(self.num_images)


def share(total: int, rank: int, world_size: int) -> range:
    """The places, of `total`, that are a process's: contiguous, and as many as any other's, or one
    more or less.
    """
    return range(total * rank // world_size, total * (rank + 1) // world_size)


def prepare_worker(_: int) -> None:
    """Leave stopping to the main process: a signal to the whole group must not end workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    torch.set_num_threads(1)
