"""How fast a run would train on this machine: some of its steps are taken, timed and forgotten."""

import time
from dataclasses import replace

from stellar.config import RunConfig
from stellar.errors import Interrupted
from stellar.precision import choose_device
from stellar.processes.device import own_device
from stellar.processes.launch import Ranks
from stellar.training.interruption import Interruption
from stellar.training.loop import Training
from stellar.training.setup import prepare, require_possible


def seconds_of_steps(config: RunConfig, count: int, device: str = "auto") -> list[float]:
    """Seconds that each of the first `count` steps takes in one process, with waiting for its
    views. The first ones are slow: workers start, networks are compiled. Nothing is written; what
    a run spends on metrics, pictures and checkpoints comes on top.

    Raises as `pretrain` does, and Interrupted after Ctrl-C or SIGTERM.
    """
    config = config.with_steps(count)
    config = replace(config, training=replace(config.training, sample_every=0))
    ranks = Ranks()
    chosen = own_device(choose_device(device), ranks)
    require_possible(config, ranks, chosen)
    training = Training.set_up(prepare(config), None, ranks, chosen, None)
    parts, seconds = training.parts(), []
    with Interruption() as interruption:
        for _ in range(count):
            start = time.perf_counter()
            training.count(training.optimize(parts))
            seconds.append(time.perf_counter() - start)
            if interruption.requested:
                raise Interrupted("stopped while its speed was measured, before any training")
    return seconds
