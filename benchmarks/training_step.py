"""A training step of ViT-B/16 with the full objective, ours against the plain way: seconds and
peak memory.

Plain: fp32, all views at once, logits materialised. Ours: the precision that the machine computes
in, one group of views at a time, the heads by their identity. Each round is a process of its own,
so that its peak memory is its own; rounds alternate.
"""

import argparse
import json
import resource
import subprocess
import sys
from pathlib import Path
from statistics import median
from time import perf_counter

import psutil
import torch

sys.path.insert(0, str(Path(__file__).parent))

from plain_step import plain_step
from stellar.config import RunConfig
from stellar.data.masking import num_kept
from stellar.model.vqgan import VQGAN, VQGANConfig
from stellar.objective import PretrainingModel, Views, step
from stellar.precision import autocast, choose_device, resolve_precision
from stellar.presets import PRESETS
from stellar.training.optimizer import build_optimizer
from table import print_table


def random_views(config: RunConfig, batch: int, device: torch.device) -> Views:
    size, views = config.model.image_size, config.views
    patches = (size // config.model.patch_size) ** 2
    kept = num_kept(patches, views.masking_ratio)
    masked = batch * views.num_masked
    keep = torch.rand(masked, patches).argsort(dim=1)[:, :kept].sort(dim=1).values
    return Views(
        torch.rand(batch, 3, size, size).to(device),
        torch.rand(masked, 3, size, size).to(device),
        keep.to(device),
        torch.rand(batch * views.num_local, 3, views.local_size, views.local_size).to(device),
    )


def measure(variant: str, preset: str, batch: int, steps: int) -> dict[str, float]:
    """One round in this process: median seconds of a step, and the process's peak memory in GB."""
    device, config = choose_device("auto"), PRESETS[preset]()
    tokenizer = VQGAN(VQGANConfig()) if config.model.decoder.target == "codes" else None
    model = PretrainingModel(config.model, config.objective, tokenizer).to(device)
    optimizer = build_optimizer(model, config.training)
    views = random_views(config, batch, device)
    context = autocast(resolve_precision("auto", device), device)
    # What no step can do without: weights, their gradients and AdamW's two moments.
    learning = sum(p.numel() * p.element_size() for p in model.parameters() if p.requires_grad)
    state = (3 * learning + resident()) if device.type == "cpu" else 4 * learning
    times = []
    for _ in range(steps + 1):
        start = perf_counter()
        optimizer.zero_grad(set_to_none=True)
        if variant == "plain":
            plain_step(model, views)[0].backward()
        else:
            at_once = config.training.views_at_once
            step(model, views, lambda loss: loss.backward(), context, at_once)
        optimizer.step()
        if device.type == "cuda":
            torch.cuda.synchronize()
        times.append(perf_counter() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    if device.type == "cuda":
        peak = torch.cuda.max_memory_allocated()
    return {"seconds": median(times[1:]), "memory": peak / 1e9, "rest": (peak - state) / 1e9}


def resident() -> int:
    """Bytes of this process in memory, now."""
    return psutil.Process().memory_info().rss


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", default="b16", choices=PRESETS)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--variant", choices=("plain", "ours"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.variant:
        print(json.dumps(measure(options.variant, options.preset, options.batch, options.steps)))
        return
    found: dict[str, list[dict[str, float]]] = {"plain": [], "ours": []}
    for _ in range(options.rounds):
        for variant, results in found.items():
            command = [sys.executable, __file__, "--variant", variant, "--preset", options.preset]
            command += ["--batch", str(options.batch), "--steps", str(options.steps)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            results.append(json.loads(done.stdout))
    rows = []
    units = {
        "seconds": "s a step",
        "memory": "GB at the peak, whole process",
        "rest": "GB of it beyond libraries, weights, gradients and AdamW's moments",
    }
    for name, unit in units.items():
        plain, ours = (median(r[name] for r in found[variant]) for variant in ("plain", "ours"))
        rows.append((unit, f"{plain:.2f}", f"{ours:.2f}", f"{ours / plain:.2f}"))
    title = f"Training step, {options.preset}, batch {options.batch}, optimizer included"
    print_table(title, ("", "plain", "ours", "ours / plain"), rows)


if __name__ == "__main__":
    main()
