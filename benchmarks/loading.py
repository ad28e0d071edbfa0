"""Loading a published model: seconds, and memory beyond the imports, each in a fresh process.

Without --model, a ViT-B/16 of random numbers in the published layout, heads included, is written
first. Memory is the process's peak, less what it was before, over the bytes of the loaded weights.
"""

import argparse
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter, process_time
from typing import get_args

sys.path.insert(0, str(Path(__file__).parent))

import torch

import stellar
from stellar.objective import PretrainingModel
from stellar.presets import b16
from stellar.weights import Purpose, load
from table import print_table


def status(field: str) -> int:
    """A number of /proc/self/status, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field + ":"))


def measure(model: str, purpose: Purpose) -> None:
    """Load once, and print seconds, CPU seconds, bytes of weights and peak bytes."""
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts from here
    before, start, cpu = status("VmRSS"), perf_counter(), process_time()
    loaded = load(model, purpose=purpose)
    seconds, cpu = perf_counter() - start, process_time() - cpu
    weights = sum(t.numel() * t.element_size() for t in loaded.state_dict().values())
    print(seconds, cpu, weights, status("VmHWM") - before)


def in_a_fresh_process(model: str, purpose: str) -> tuple[float, float, float, float]:
    """`measure` where nothing was loaded before."""
    command = [sys.executable, __file__, "--model", model, "--measure", purpose]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    seconds, cpu, weights, peak = map(float, done.stdout.split())
    return seconds, cpu, weights, peak


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", help="a published name or a path; by default random numbers")
    parser.add_argument("--measure", choices=get_args(Purpose), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        measure(options.model, options.measure)
        return
    with TemporaryDirectory() as folder:
        model = options.model
        if model is None:
            torch.manual_seed(0)
            trained = PretrainingModel(b16().model, b16().objective)
            model = str(stellar.save_published(trained, Path(folder) / "b16", "stellar-b16"))
        rows = []
        for purpose in get_args(Purpose):
            seconds, cpu, weights, peak = in_a_fresh_process(model, purpose)
            rows.append(
                (purpose, f"{seconds:.2f}", f"{cpu:.2f}", f"{weights / 2**20:.0f}",
                 f"{peak / 2**20:.0f}", f"{peak / weights:.2f}")
            )  # fmt: skip
    columns = ("purpose", "s", "CPU s", "weights, MiB", "peak, MiB", "peak / weights")
    print_table("Loading, ViT-B/16 in the published layout", columns, rows)


if __name__ == "__main__":
    main()
