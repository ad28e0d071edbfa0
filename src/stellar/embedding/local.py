"""Embedding with one process, or with several that share a file system: the loop that keeps the
encoder busy.

Workers read and decode all the time, also from one part to the next; finished parts become rows and
files in threads of their own, beside the next part. Only the encoder is never waited for.
"""

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path

import torch
from torch import Tensor

from stellar.config import Fit, check_count, check_workers
from stellar.data import open_source
from stellar.data.folder import Stamped
from stellar.data.picture_batches import pictures_at
from stellar.embedding.beginning import open_parts
from stellar.embedding.embedder import Embedder
from stellar.embedding.finishing import EmbedResult, finish
from stellar.embedding.part import Part
from stellar.embedding.parts import ALONE, PART_SIZE, Parts
from stellar.errors import UserError
from stellar.model import Stellar
from stellar.processes.launch import Ranks
from stellar.storage import at_home

WRITERS = 2
"""Threads that write, and finished parts that may wait for them."""
Encoded = list[tuple[tuple[int, ...], list[str], tuple[Tensor, ...]]]
"""Of batches, the indices, names and vectors of their images."""
Unreadable = list[tuple[str, str]]
"""Of pictures that could not be read, with the reasons."""


def embed(
    model: Stellar,
    folder: str | Path,
    out: str | Path,
    batch_size: int = 64,
    num_workers: int | None = None,
    fit: Fit = "crop",
    progress: Callable[[int, int], object] = lambda _done, _total: None,
    part_size: int = PART_SIZE,
    ranks: Ranks = ALONE,
    tokens: int | None = None,
) -> EmbedResult:
    """Encode every image below `folder` and write them, in sorted order, to `out`: a Parquet file
    where that ends in .parquet, else a folder of such files, which readers take as one data set.

    Where `out` is there already, rows of images whose size and time of change are what they were
    are taken over, and only the others are encoded. It is replaced when all is done (a folder by
    two renames), or refused where not one image is as it was.

    Finished parts stay in `out`.parts until all are there, so a call that was killed goes on
    where it was when it is made again, also by another number of processes. Each process calls
    with its place in `ranks`; the first one finishes the result, and the others return before it
    is there.

    `num_workers` processes read; None: as many as suggest themselves. All maps have one size, so
    `fit` is crop or squash. `tokens` keeps so many of each picture, those that explain most of it;
    None: all. `progress` is called with (images done, images in all); it takes the other processes
    to be as fast as this one. Raises DataError for a folder without images, InputError for another
    fit, EmbeddingError for more tokens than there are, and when `out` or its parts come from
    another model or other data, UserError for a model whose numbers are not finite, and ConfigError
    for numbers that are none or too small.
    """
    check_count(batch_size, "batch_size")
    check_count(part_size, "part_size")
    if num_workers is not None:
        check_workers(num_workers, "num_workers")
    embedder = Embedder(model, fit, tokens)
    source = open_source(folder, model.config.in_chans)
    parts = open_parts(Path(at_home(out)), source, embedder, part_size, ranks)
    if num_workers is None:
        num_workers = suggested_workers(model.device)
    try:
        _make_parts(parts, source, embedder, batch_size, num_workers, ranks, progress)
    except UserError:
        if ranks.world_size == 1:  # another process may be at its first part
            parts.remove_if_none_is_done()
        raise
    progress(parts.num_images, parts.num_images)
    return finish(parts) if ranks.rank == 0 else EmbedResult(parts.out, 0, 0)


def suggested_workers(device: torch.device) -> int:
    """Beside a GPU, this process's share of the cores. Where the CPU encodes, none: all threads of
    a matrix product wait for the one whose core a worker has taken. A small model gains by workers
    all the same.
    """
    if device.type == "cpu":
        return 0
    usable = getattr(os, "sched_getaffinity", lambda _: range(os.cpu_count() or 1))  # not on macOS
    cores = len(usable(0)) // max(1, torch.cuda.device_count())
    return min(16, max(1, cores - 1))


def _make_parts(
    parts: Parts,
    source: Stamped,
    embedder: Embedder,
    batch_size: int,
    num_workers: int,
    ranks: Ranks,
    progress: Callable[[int, int], object],
) -> None:
    """Make the parts that are this process's turn."""
    missing, total = (parts.count(numbers) for numbers in (parts.missing(), range(len(parts))))
    done, begun = total - missing, deque[Part]()

    def advance(count: int) -> None:
        nonlocal done
        done = min(done + count * ranks.world_size, total)
        progress(done, total)

    with _writing(parts, embedder) as write:

        def batches() -> Iterator[list[int]]:
            """Asked for while batches before are read and encoded."""
            for number in parts.turns(ranks):
                part = parts.look_at(number, source)
                advance(len(part.kept))
                if to_encode := part.to_encode:
                    begun.append(part)
                else:
                    write(part, [], [])
                for start in range(0, len(to_encode), batch_size):
                    yield to_encode[start : start + batch_size]

        pictures = pictures_at(
            source, batches(), embedder.fit, embedder.model.config, num_workers,
            embedder.model.device,
        )  # fmt: skip
        for number, of_part in groupby(pictures, lambda batch: batch.first // parts.part_size):
            part, encoded, unreadable = begun.popleft(), [], []
            for batch in of_part:
                if parts.is_done(number):  # another process was faster
                    break
                if batch.indices:
                    names, vectors = part.names_of(batch.indices), embedder.encode(batch.images)
                    encoded.append((batch.indices, names, vectors))
                unreadable += batch.unreadable
                advance(len(batch))
            else:
                write(part, encoded, unreadable)


@contextmanager
def _writing(
    parts: Parts, embedder: Embedder
) -> Iterator[Callable[[Part, Encoded, Unreadable], None]]:
    """Lets threads make rows and files of parts, which waits where too many are being written. The
    error of one is raised when a later one is given, or at the end.
    """
    writing: deque[Future[None]] = deque()
    with ThreadPoolExecutor(WRITERS) as writers:

        def write(part: Part, encoded: Encoded, unreadable: Unreadable) -> None:
            if len(writing) == WRITERS:
                writing.popleft().result()
            writing.append(writers.submit(_write, parts, embedder, part, encoded, unreadable))

        yield write
        for written in writing:
            written.result()


def _write(
    parts: Parts, embedder: Embedder, part: Part, encoded: Encoded, unreadable: Unreadable
) -> None:
    rows = [(indices, embedder.rows(names, vectors)) for indices, names, vectors in encoded]
    parts.write(part, rows, unreadable)
