"""The prototype heads and their targets: rows in chunks, by the identity of
`objective/prototypes.py`, against logits that are written out. On a GPU, both under the precision
of a training and played back from a CUDA graph, as a training plays them.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parent))

import plain_step
from stellar.objective.prototypes import Assignment, assign, cross_entropy, mean_prototype
from stellar.precision import autocast, choose_device, resolve_precision
from stellar.presets import b16
from table import Row, forget_peak, in_turns, medians, peak_memory, print_rows, replayed

OBJECTIVE = b16().objective
VIEWS = 4
"""Predictions to each target."""
COUNT, WIDTH = OBJECTIVE.num_prototypes, OBJECTIVE.prototype_dim
TAU = OBJECTIVE.prediction_temperature
BALANCE = (OBJECTIVE.target_temperature, OBJECTIVE.sinkhorn_iterations, OBJECTIVE.sinkhorn_scale)


def unit_rows(count: int, device: torch.device) -> Tensor:
    return F.normalize(torch.randn(count, WIDTH, device=device), dim=1)


def ours(x: Tensor, assignment: Assignment, row: Tensor, prototypes: Tensor) -> Tensor:
    """The loss of predictions to rows of the targets: q is made in chunks, and never kept."""
    return cross_entropy(x, mean_prototype(prototypes, assignment)[row], prototypes, TAU)


def plain(x: Tensor, q: Tensor, row: Tensor, prototypes: Tensor) -> Tensor:
    """The same of logits, log-probabilities and targets that are all there at once."""
    return plain_step.cross_entropy(x @ prototypes.T, q[row], TAU)


def measure(side: str, count: int, rounds: int) -> dict[str, float]:
    """Median seconds of one side in this process, and what it needed beyond its inputs, in GB."""
    device = choose_device("auto")
    torch.manual_seed(0)
    prototypes = torch.randn(COUNT, WIDTH, device=device, requires_grad=True)
    x = unit_rows(count, device).requires_grad_()
    row = torch.arange(count, device=device) % (count // VIEWS)
    assignment = assign(unit_rows(count // VIEWS, device), prototypes, *BALANCE)
    # The plain way has q already; it was made for all views.
    q = torch.cat([part for _, part in assignment.chunks()]) if side == "plain" else x.new_empty(0)
    precision = "fp32" if side == "plain" else resolve_precision("auto", device)

    def run(count: int = count) -> None:
        with autocast(precision, device)():
            if side == "plain":
                loss = plain(x[:count], q, row[:count], prototypes)
            else:
                loss = ours(x[:count], assignment, row[:count], prototypes)
        loss.backward()

    run(64)  # so that gradients and libraries are there
    forget_peak(device)
    before = peak_memory(device)
    run()
    memory = peak_memory(device) - before
    taken = medians({side: replayed(run, device)}, rounds)
    return {"seconds": taken[side], "memory": memory / 1e9}


def rows(count: int = 16384, rounds: int = 3, toy: bool = False) -> Iterator[Row]:
    """Time and memory of the loss, and how near Sinkhorn's targets are to float64."""
    device = choose_device("auto")
    gpu, count = device.type == "cuda", 64 if toy else count
    sides = ("ours", "plain")
    if gpu or toy:  # memory is counted apart
        found = {side: measure(side, count, 9) for side in sides}
    else:
        found = in_turns(__file__, sides, ["--rows", str(count)], rounds)
    name = f"a head, forward and backward, {COUNT} prototypes, {count} rows"
    note = f"{VIEWS} predictions to each target; plain: fp32 logits, log-probabilities and targets "
    note += "written out, the targets before"
    for key, unit, target in (("seconds", "s", 4.0 if gpu else 1.0), ("memory", "GB", 50.0)):
        fast, slow = (found[side][key] for side in ("ours", "plain"))
        yield Row(
            f"{name}{', beyond its inputs' if key == 'memory' else ''}",
            unit, fast, slow, target, smaller_is_better=True, note=note,
        )  # fmt: skip
    yield targets_row(device, 64 if toy else 2048)


@torch.no_grad()
def targets_row(device: torch.device, count: int) -> Row:
    """How far the targets are from those in float64, in total variation."""
    torch.manual_seed(0)
    x, prototypes = unit_rows(count, device), torch.randn(COUNT, WIDTH, device=device)
    exact = plain_step.sinkhorn(x.double() @ prototypes.double().T, *BALANCE)
    assignment = assign(x, prototypes, *BALANCE)
    # Products of bf16, summed in fp32 and rounded: as fast where a CPU only emulates them.
    low = (x.bfloat16().float() @ prototypes.bfloat16().float().T).bfloat16().float()

    def distance(q: Callable[[slice], Tensor]) -> float:
        parts = (slice(start, start + 256) for start in range(0, count, 256))
        return sum(0.5 * (q(p).double() - exact[p]).abs().sum().item() for p in parts) / count

    rounded = plain_step.sinkhorn(low, *BALANCE)
    ours_q = torch.cat([q for _, q in assignment.chunks()])
    return Row(
        f"Sinkhorn targets of {count} rows against float64, total variation",
        "%",
        100 * distance(lambda part: ours_q[part]),
        100 * distance(lambda part: rounded[part]),
        None,
        smaller_is_better=True,
        note="plain: logits in bf16; the aim is less than 0.1%",
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=16384)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--side", choices=("ours", "plain"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        print(json.dumps(measure(options.side, options.rows, options.rounds)))
    else:
        print_rows("Prototype heads", rows(options.rows, options.rounds))
