"""Weak scaling of the training step: images a second of two processes with a core each, against
one process with one core; every process has the same number of images.

Processes are started anew in each round, which the two sides take in turns. The model is ViT-S/16
with the full objective and a pixel decoder, in the precision that the machine computes in.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from statistics import median
from time import perf_counter

import torch

sys.path.insert(0, str(Path(__file__).parent))

from stellar.config import DecoderConfig, RunConfig
from stellar.objective import PretrainingModel, step
from stellar.precision import autocast, resolve_precision
from stellar.presets import PRESETS
from stellar.processes.exchange import process_group
from stellar.processes.launch import own_ranks
from stellar.processes.sharded import clip_gradients, sum_gradients
from stellar.training.optimizer import build_optimizer
from table import Row, print_rows
from training_step import random_views

CPU = torch.device("cpu")


def small() -> RunConfig:
    """ViT-S/16, 22 M parameters, drawing pixels."""
    config = PRESETS["b16"]()
    decoder = DecoderConfig(target="pixels")
    return replace(config, model=replace(config.model, embed_dim=384, num_heads=6, decoder=decoder))


def measure(batch: int, steps: int) -> dict[str, float]:
    """In this process: median seconds of a step, of the gradients' exchange in it, and their MB."""
    ranks, config = own_ranks(), small()
    os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[ranks.rank]})
    torch.set_num_threads(1)
    with process_group(ranks, CPU):
        model = PretrainingModel(config.model, config.objective)
        optimizer = build_optimizer(model, config.training)
        views, context = (
            random_views(config, batch, CPU),
            autocast(resolve_precision("auto", CPU), CPU),
        )
        learning, times, exchanges = list(model.parameters()), [], []
        for _ in range(steps + 1):
            start = perf_counter()
            optimizer.zero_grad(set_to_none=True)
            of_each = config.training.views_of_each(batch)
            step(model, views, lambda loss: (loss / ranks.world_size).backward(), context, of_each)
            before = perf_counter()
            sum_gradients(learning)
            exchanges.append(perf_counter() - before)
            clip_gradients(learning, config.training.gradient_clip)
            optimizer.step()
            times.append(perf_counter() - start)
    size = sum(p.grad.nbytes for p in learning if p.grad is not None)
    return {
        "step": median(times[1:]),
        "exchange": median(exchanges[1:]),
        "megabytes": size / 1e6,
    }


def launch(processes: int, batch: int, steps: int) -> dict[str, float]:
    """One round: what the first of so many processes measured."""
    command = [sys.executable, __file__, "--measure", "--batch", str(batch), "--steps", str(steps)]
    place = {"WORLD_SIZE": str(processes), "MASTER_ADDR": "localhost", "MASTER_PORT": "29555"}
    started = [
        subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | place | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
        )
        for rank in range(processes)
    ]
    outputs = [process.communicate()[0] for process in started]
    if any(process.returncode for process in started):
        raise RuntimeError("a process of the benchmark failed; its error is above")
    return json.loads(outputs[0])


def rows(batch: int = 4, steps: int = 2, rounds: int = 3) -> Iterator[Row]:
    """Two processes against one."""
    found: dict[int, list[dict[str, float]]] = {1: [], 2: []}
    for _ in range(rounds):
        for processes, results in found.items():
            results.append(launch(processes, batch, steps))
    speed = {n: n * batch / median(r["step"] for r in results) for n, results in found.items()}
    exchange = median(r["exchange"] for r in found[2])
    share = exchange * speed[2] / (2 * batch)
    yield Row(
        f"training step, ViT-S/16, 2 processes with a core and {batch} images each",
        "images/s",
        speed[2],
        speed[1],
        target=1.9,
        limit=2 * speed[1],
        note=f"plain: 1 process with one core; exchanging {found[2][0]['megabytes']:.0f} MB of "
        f"gradients takes {exchange:.2f} s, {share:.0%} of the step",
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.batch, options.steps)))
        return
    print_rows("Weak scaling", rows(options.batch, options.steps, options.rounds))


if __name__ == "__main__":
    main()
