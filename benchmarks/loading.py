"""Loading a published model: peak memory beyond the imports, each time in a fresh process.

    python benchmarks/loading.py
    python benchmarks/loading.py --model stellar-b16

Without --model, a ViT-B/16 of random numbers in the published layout, heads included, is written
first. Plain: the whole file is read, the whole model is built with random weights, and one is
copied into the other.
"""

import argparse
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter, process_time
from typing import get_args

sys.path.insert(0, str(Path(__file__).parent))

import torch
from torch import nn

import stellar
from stellar.load_model import Purpose, load
from stellar.model.files.opening import open_model
from stellar.model.files.prefixes import FROZEN
from stellar.model.files.strict_loading import load_weights
from stellar.objective import PretrainingModel
from stellar.presets import b16
from table import Row, print_rows

NOTE = "limit: the weights that the purpose needs; plain: whole file and whole model, then a copy"


def status(field: str) -> int:
    """A number of /proc/self/status, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field + ":"))


def load_plainly(model: str) -> nn.Module:
    file = open_model(model)
    assert file.objective is not None
    state = {name: tensor.clone() for name, tensor in file.state.items()}
    built = PretrainingModel(file.config, file.objective)
    load_weights(built, state, FROZEN)
    return built


def measure(model: str, purpose: Purpose | None) -> None:
    """Load once, and print seconds, CPU seconds, bytes of weights and peak bytes."""
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts from here
    before, start, cpu = status("VmRSS"), perf_counter(), process_time()
    loaded = load(model, purpose=purpose) if purpose else load_plainly(model)
    seconds, cpu = perf_counter() - start, process_time() - cpu
    weights = sum(t.numel() * t.element_size() for t in loaded.state_dict().values())
    print(seconds, cpu, weights, status("VmHWM") - before)


def in_a_fresh_process(model: str, purpose: str) -> tuple[float, float]:
    """MiB of weights and of the peak, where nothing was loaded before."""
    command = [sys.executable, __file__, "--model", model, "--measure", purpose]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    _, _, weights, peak = map(float, done.stdout.split())
    return weights / 2**20, peak / 2**20


def rows(model: str | None = None, rounds: int = 3) -> Iterator[Row]:
    """A row for each purpose."""
    with TemporaryDirectory() as folder:
        if model is None:
            torch.manual_seed(0)
            trained = PretrainingModel(b16().model, b16().objective)
            model = str(stellar.save_published(trained, Path(folder) / "b16", "stellar-b16"))
        sides = (*get_args(Purpose), "plain")
        found = [{side: in_a_fresh_process(model, side) for side in sides} for _ in range(rounds)]
    plain = median(one["plain"][1] for one in found)
    for purpose in get_args(Purpose):
        weights, peak = (median(one[purpose][part] for one in found) for part in (0, 1))
        what = f"loading to {purpose}, ViT-B/16 in the published layout: peak memory"
        yield Row(what, "MiB", peak, plain, None, weights, smaller_is_better=True, note=NOTE)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", help="a published name or a path; by default random numbers")
    parser.add_argument("--measure", metavar="PURPOSE", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        measure(options.model, None if options.measure == "plain" else options.measure)
    else:
        print_rows("Loading", rows(options.model))


if __name__ == "__main__":
    main()
