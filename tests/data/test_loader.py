"""The order of the data: a function of (seed, step), whatever the workers, ranks and restarts."""

import errno
import gc
import multiprocessing
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import islice

import pytest
import torch

from stellar.config import ModelConfig, ViewConfig
from stellar.data.folder import DataError
from stellar.data.loader import StepSampler, sentence_of_workers, view_batches
from stellar.data.picture_batches import picture_batches
from stellar.data.scenes import Scenes
from stellar.data.views import Batch, MultiView
from stellar.errors import UserError

VIEWS = ViewConfig(num_masked=1, num_local=1, local_size=12, masking_ratio=0.5)


@pytest.fixture(scope="module")
def data() -> MultiView:
    return MultiView(Scenes("train", size=24, length=10), 24, 6, VIEWS, seed=0)


@pytest.fixture
def collected() -> Iterator[None]:
    """Nothing of the test is left for the garbage collector to find in another test."""
    yield
    gc.collect()


def kills_a_worker(test: Callable[..., None]) -> Callable[..., None]:
    """When one has died, DataLoader opens ten files to see whether it still can; the signal that
    tells of the death raises wherever it comes, and may leave one of them open.
    """
    left_open = pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
    return left_open(pytest.mark.usefixtures("collected")(test))


def same(first: Batch, second: Batch) -> bool:
    tensors = ("full", "masked", "keep", "local", "masked_colour", "local_colour", "index")
    return all(torch.equal(getattr(first, name), getattr(second, name)) for name in tensors)


def joined(batches: list[Batch], name: str) -> torch.Tensor:
    return torch.cat([getattr(batch, name) for batch in batches])


def cases(number: int = 60) -> list[dict[str, int]]:
    """Random sizes: images fewer and more than a batch, and batches that do not divide them."""
    rng = random.Random(0)
    return [
        {
            "num_images": rng.randint(1, 40),
            "batch_size": rng.randint(1, 12),
            "seed": rng.randint(0, 5),
            "start_step": rng.randint(0, 30),
            "num_steps": rng.randint(1, 20),
        }
        for _ in range(number)
    ]


def test_every_epoch_has_every_image_once() -> None:
    for case in cases():
        sampler = StepSampler(**case | {"start_step": 0, "num_steps": 50})
        keys = [key for step in sampler for key in step]
        num_epochs = len(keys) // case["num_images"]
        counts = Counter(keys[: num_epochs * case["num_images"]])
        assert set(counts.values()) <= {1}
        assert set(counts) == {
            (epoch, index) for epoch in range(num_epochs) for index in range(case["num_images"])
        }
        assert [epoch for epoch, _ in keys] == sorted(epoch for epoch, _ in keys)


def test_any_start_gives_the_same_steps() -> None:
    for case in cases():
        whole = list(StepSampler(**case | {"start_step": 0, "num_steps": 60}))
        start, number = case["start_step"], case["num_steps"]
        sampler = StepSampler(**case)
        assert list(sampler) == whole[start : start + number]
        assert len(sampler) == number
        assert list(sampler) == list(sampler)


def test_ranks_share_the_batch_of_one_process() -> None:
    for case in cases():
        for world_size in (2, 3):
            alone = StepSampler(**case)
            ranks = [StepSampler(**case, rank=r, world_size=world_size) for r in range(world_size)]
            for step, keys in enumerate(alone, case["start_step"]):
                shares = [rank.keys(step) for rank in ranks]
                assert [key for keys in shares for key in keys] == keys
                assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_epochs_and_seeds_have_their_own_order() -> None:
    def order(seed: int, epoch: int) -> list[int]:
        return [index for _, index in StepSampler(100, 100, seed, epoch, 1).keys(epoch)]

    orders = [order(seed, epoch) for seed in range(3) for epoch in range(3)]
    assert len({tuple(order) for order in orders}) == 9
    assert all(sorted(order) == list(range(100)) for order in orders)


def test_batches_are_the_same_with_workers_and_after_a_restart(data: MultiView) -> None:
    straight = list(view_batches(data, 4, seed=3, start_step=0, num_steps=7))
    assert len(straight) == 7
    assert joined(straight, "index")[:10].sort().values.tolist() == list(range(10))
    for num_workers, start in ((2, 0), (2, 4), (0, 4), (1, 6)):
        again = view_batches(data, 4, 3, start, 7 - start, num_workers=num_workers)
        assert all(same(a, b) for a, b in zip(again, straight[start:], strict=True))


def test_ranks_together_see_the_batches_of_one_process(data: MultiView) -> None:
    alone = list(view_batches(data, 7, seed=1, start_step=2, num_steps=3))
    ranks = [list(view_batches(data, 7, 1, 2, 3, rank, world_size=3)) for rank in range(3)]
    for step, batch in enumerate(alone):
        parts = [rank[step] for rank in ranks]
        for name in ("full", "masked", "keep", "local", "masked_colour", "index"):
            assert torch.equal(joined(parts, name), getattr(batch, name))


def test_a_batch_larger_than_the_data_runs_over_epochs(data: MultiView) -> None:
    (batch,) = view_batches(data, 25, seed=0, start_step=0, num_steps=1)
    batch = batch.to("cpu")
    counts = Counter(batch.index.tolist())
    assert set(counts.values()) == {2, 3}
    # The same image in two epochs has two sets of views.
    places = (batch.index == batch.index[0]).nonzero()[:, 0].tolist()
    full = batch.to("cpu").full
    assert not torch.equal(full[places[0]], full[places[1]])


def test_no_steps_are_no_batches(data: MultiView) -> None:
    assert list(view_batches(data, 4, 0, 5, 0)) == []


@pytest.mark.parametrize("num_workers", [0, 1])
def test_loading_leaves_the_global_random_state_alone(data: MultiView, num_workers: int) -> None:
    before = torch.get_rng_state()
    list(view_batches(data, 4, 0, 0, 2, num_workers=num_workers))
    assert torch.equal(torch.get_rng_state(), before)


def test_workers_outlive_signals_to_the_group_and_end_with_the_loader(data: MultiView) -> None:
    batches = view_batches(data, 4, 0, 0, 60, num_workers=2)
    first = list(islice(batches, 2))  # one of each worker, so that both ignore signals by now
    workers = multiprocessing.active_children()
    assert len(workers) == 2
    for worker in workers:
        assert worker.pid is not None
        os.kill(worker.pid, signal.SIGTERM)
        os.kill(worker.pid, signal.SIGINT)
    rest = list(islice(batches, 30))
    expected = list(view_batches(data, 4, 0, 0, 32))
    assert all(same(a, b) for a, b in zip([*first, *rest], expected, strict=True))
    batches.close()
    for worker in workers:
        worker.join(10)
        assert not worker.is_alive()


@kills_a_worker
def test_a_killed_worker_is_an_error(data: MultiView) -> None:
    batches = view_batches(data, 4, 0, 0, 500, num_workers=1)
    next(batches)
    (worker,) = multiprocessing.active_children()
    worker.kill()
    with pytest.raises((DataError, RuntimeError)) as caught:  # wherever the signal came
        list(batches)
    said = sentence_of_workers(caught.value) or str(caught.value)
    assert re.search("was killed, most often because .* ran out of memory; lower", said)


class Hangs(Scenes):
    """As on a file server that does not answer."""

    def read(self, index: int) -> torch.Tensor:
        time.sleep(3600)
        return super().read(index)


def test_a_stuck_worker_is_an_error_after_a_time_that_can_be_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("STELLAR_WORKER_TIMEOUT", "1")
    hanging = MultiView(Hangs("train", size=24, length=10), 24, 6, VIEWS, 0)
    with pytest.raises(DataError, match=r"no batch of images came for 1 seconds: .* may hang"):
        list(view_batches(hanging, 4, 0, 0, 3, num_workers=1))
    assert multiprocessing.active_children() == []
    monkeypatch.setenv("STELLAR_WORKER_TIMEOUT", "soon")
    with pytest.raises(UserError, match=r"STELLAR_WORKER_TIMEOUT must be a whole number .* 'soon'"):
        list(view_batches(hanging, 4, 0, 0, 3, num_workers=1))


class Fails(Scenes):
    """Whose pictures cannot be read for a reason that is not theirs."""

    error: Exception

    def read(self, index: int) -> torch.Tensor:  # noqa: ARG002
        raise self.error


@pytest.mark.parametrize("num_workers", [0, 1])
@pytest.mark.parametrize(
    "error",
    [OSError(errno.EMFILE, "Too many open files", "a.png"), MemoryError(), DataError("a sentence")],
)
def test_what_a_worker_cannot_do_is_told_as_it_is(
    small: ModelConfig, num_workers: int, error: Exception
) -> None:
    """Without the worker's traceback in its message, and never as a picture that is left out."""
    source = Fails("train", size=24, length=10)
    source.error = error
    for batches in (
        view_batches(MultiView(source, 24, 6, VIEWS, 0), 4, 0, 0, 3, num_workers=num_workers),
        picture_batches(source, range(10), "crop", small, 4, num_workers=num_workers),
    ):
        with pytest.raises(type(error)) as caught:
            list(batches)
        assert str(caught.value) == str(error)


class Full(Scenes):
    """As the kernel ends a worker that writes where /dev/shm has no room left."""

    def read(self, index: int) -> torch.Tensor:
        os.kill(os.getpid(), signal.SIGBUS)
        return super().read(index)


@kills_a_worker
def test_full_shared_memory_is_a_sentence_in_training_and_in_reading(small: ModelConfig) -> None:
    full = Full("train", size=24, length=10)
    for batches in (
        view_batches(MultiView(full, 24, 6, VIEWS, 0), 4, 0, 0, 3, num_workers=1),
        picture_batches(full, range(10), "crop", small, 4, num_workers=1),
    ):
        with pytest.raises(DataError, match=r"--shm-size 8g\), lower batch_size or num_workers, "):
            list(batches)
    assert multiprocessing.active_children() == []


FULL = """
from stellar.config import ViewConfig
from stellar.data import Scenes, DataError, MultiView, view_batches

data = MultiView(Scenes("train", size=96, length=10), 96, 8, ViewConfig(), 0)
try:
    list(view_batches(data, 8, 0, 0, 2, num_workers=1))
except DataError as error:
    print(error)
"""


def test_a_batch_larger_than_shared_memory_is_that_sentence() -> None:
    """In a container of the kernel's, whose /dev/shm holds a megabyte."""
    small = "mount -t tmpfs -o size=1m tmpfs /dev/shm"
    container = ["unshare", "--map-root-user", "--mount", "sh", "-c"]
    if not shutil.which("unshare") or subprocess.run([*container, small]).returncode:
        pytest.skip("no small /dev/shm can be made here")
    command = f'{small} && exec "$0" -c "$1"'
    done = subprocess.run(
        [*container, command, sys.executable, FULL], capture_output=True, text=True, timeout=60
    )
    assert done.stdout.startswith("the shared memory through which"), done.stderr


def test_whole_pictures_come_through_workers_unchanged(data: MultiView) -> None:
    whole = MultiView(data.source, 24, 6, VIEWS, 0, uncut=True)
    expected = [batch.to("cpu") for batch in view_batches(whole, 4, 0, 0, 4)]
    batches = [batch.to("cpu") for batch in view_batches(whole, 4, 0, 0, 4, num_workers=2)]
    assert all(same(a, b) for a, b in zip(batches, expected, strict=True))


ABANDONED = """
from stellar.config import ViewConfig
from stellar.data import Scenes, MultiView, view_batches

views = ViewConfig(num_masked=0, num_local=0)
data = MultiView(Scenes("train", size=24), 24, 6, views, 0)
batches = view_batches(data, 4, 0, 0, 50, num_workers=2)
next(batches)
raise SystemExit(7)
"""


def test_workers_do_not_keep_a_process_from_ending() -> None:
    """The iterator is still alive when the interpreter ends, and its workers ignore SIGTERM."""
    started = time.monotonic()
    done = subprocess.run([sys.executable, "-c", ABANDONED], capture_output=True, timeout=60)
    assert done.returncode == 7, done.stderr
    assert done.stderr == b""
    assert time.monotonic() - started < 30


INTERRUPTED = """
import multiprocessing.process, os, signal
from stellar.config import ViewConfig
from stellar.data import Scenes, MultiView, view_batches

start = multiprocessing.process.BaseProcess.start
def interrupted(self):  # as Ctrl-C may come when one of the workers is there
    start(self)
    os.kill(os.getpid(), signal.SIGINT)
multiprocessing.process.BaseProcess.start = interrupted
data = MultiView(Scenes("train", size=24), 24, 6, ViewConfig(num_masked=0, num_local=0), 0)
try:
    next(view_batches(data, 4, 0, 0, 50, num_workers=2))
except KeyboardInterrupt:
    raise SystemExit(multiprocessing.active_children() and 8 or 7)
"""


def test_interrupted_while_they_start_workers_end() -> None:
    done = subprocess.run([sys.executable, "-c", INTERRUPTED], capture_output=True, timeout=60)
    assert done.returncode == 7, done.stderr


def test_workers_end_when_the_loop_fails(data: MultiView) -> None:
    class Fails(MultiView):
        def __getitems__(self, keys: list[tuple[int, int]]) -> Batch:
            if 3 in [index for _, index in keys]:
                raise DataError("nothing here can be read")
            return super().__getitems__(keys)

    failing = Fails(data.source, 24, 6, VIEWS, 0)
    with pytest.raises(DataError, match="nothing here") as caught:
        list(view_batches(failing, 4, 0, 0, 3, num_workers=2))
    # The traceback still holds the iterator.
    assert caught.traceback
    assert multiprocessing.active_children() == []
