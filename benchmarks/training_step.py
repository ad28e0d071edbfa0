"""A training step of ViT-B/16 with the full objective, ours against the plain way: seconds and
peak memory.

Plain: all views at once, logits materialised, eager, in fp32 on a CPU and under bf16 autocast on a
GPU. Ours: by the step of `stellar pretrain`, in the precision that the machine computes in, one
group of views at a time, the heads by their identity; on a GPU compiled, and a CUDA graph.
Further rows show what single settings change. Each round is a process of its own, so that its peak
memory is its own; rounds alternate.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from itertools import chain
from pathlib import Path
from statistics import median
from time import perf_counter

import psutil
import torch

sys.path.insert(0, str(Path(__file__).parent))

import limits
from plain_step import plain_step
from stellar.config import RunConfig
from stellar.cost import training_flops
from stellar.data.views.masking import num_kept
from stellar.model.vqgan import VQGAN, VQGANConfig
from stellar.objective import PretrainingModel, StepResult, Views, step
from stellar.precision import autocast, choose_device, resolve_precision
from stellar.presets import PRESETS
from stellar.training.computation import compile_networks, compiles, recompute_blocks
from stellar.training.cuda_graph import WARM_UP, CapturedStep
from stellar.training.optimizer import build_optimizer
from table import Row, in_turns, peak_memory, print_rows, unmeasured

COMPILE = {"ours": "auto", "recomputed": "auto", "compiled": "on", "eager": "off"}
"""`training.compile`, by the name of a side."""
HOW = {
    "cpu": "plain: fp32, eager, all views at once, logits written out",
    "cuda": "plain: bf16 autocast, eager, all views at once, logits written out; ours: compiled, "
    "and a CUDA graph",
}
"""Both sides, by the kind of device."""


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


def measure(
    side: str, preset: str, batch: int, steps: int, profile: bool = False
) -> dict[str, float]:
    """One round in this process: median seconds of a step, and the process's peak memory in GB.
    `profile` prints what one more step spends its time in.
    """
    device, config = choose_device("auto"), PRESETS[preset]()
    tokenizer = VQGAN(VQGANConfig()) if config.model.decoder.target == "codes" else None
    model = PretrainingModel(config.model, config.objective, tokenizer).to(device)
    compiled = compiles(COMPILE.get(side, "off"), device)
    if compiled:
        compile_networks(model)
    if side == "recomputed":
        recompute_blocks(model)
    optimizer = build_optimizer(model, config.training)
    views = random_views(config, batch, device)
    context = autocast(resolve_precision("auto", device), device)
    # What no step can do without: weights, their gradients and AdamW's two moments.
    learning = sum(p.numel() * p.element_size() for p in model.parameters() if p.requires_grad)
    state = (3 * learning + resident()) if device.type == "cpu" else 4 * learning
    captures = compiled and device.type == "cuda"

    def run_plain(views: Views, _share: float) -> None:
        with context() if device.type == "cuda" else nullcontext():
            loss = plain_step(model, views)[0]
        loss.backward()

    def run_ours(views: Views, _share: float) -> StepResult:
        of_each = config.training.views_of_each(batch)
        return step(model, views, lambda loss: loss.backward(), context, of_each)

    run = run_plain if side == "plain" else CapturedStep(run_ours) if captures else run_ours
    warm_up = WARM_UP + 1 if captures else 1

    def seconds() -> float:
        start = perf_counter()
        optimizer.zero_grad(set_to_none=not captures)
        run(views, 1.0)
        optimizer.step()
        if device.type == "cuda":
            torch.cuda.synchronize()
        return perf_counter() - start

    times = [seconds() for _ in range(warm_up + steps)]
    peak = peak_memory(device)
    if profile:
        with torch.profiler.profile() as profiler:
            seconds()
        order = f"self_{device.type}_time_total"
        print(profiler.key_averages().table(sort_by=order, row_limit=100))
    return {"seconds": median(times[warm_up:]), "memory": peak / 1e9, "rest": (peak - state) / 1e9}


def resident() -> int:
    """Bytes of this process in memory, now."""
    return psutil.Process().memory_info().rss


def step_rows(preset: str, batch: int, target: float, steps: int, rounds: int) -> Iterator[Row]:
    """Speed and memory of one preset at one batch size."""
    device, name = choose_device("auto"), f"training step, {preset}, batch {batch}"
    options = ["--preset", preset, "--batch", str(batch), "--steps", str(steps)]
    found = in_turns(__file__, ("plain", "ours"), options, rounds)
    flops = training_flops(PRESETS[preset]()).total
    low = torch.bfloat16 if resolve_precision("auto", device) == "bf16" else torch.float32
    yield Row(
        name,
        "images/s",
        batch / found["ours"]["seconds"],
        batch / found["plain"]["seconds"],
        target,
        limits.matmul_flops(low, device) / flops,
        note=f"{HOW[device.type]}; limit: the products of matrices, in ours' precision; optimizer "
        "included",
    )
    units = {
        "memory": "at its peak, whole process",
        "rest": "of it beyond libraries, weights, gradients and AdamW's moments",
    }
    for key, what in units.items():
        yield Row(
            f"{name}: {what}", "GB", found["ours"][key], found["plain"][key],
            4.0 if batch == 128 and key == "memory" else None, smaller_is_better=True,
        )  # fmt: skip


def changed_rows(preset: str, batch: int, steps: int, rounds: int) -> Iterator[Row]:
    """What compiling, or computing the blocks again, changes."""
    name = f"training step, {preset}, batch {batch}"
    options = ["--preset", preset, "--batch", str(batch), "--steps", str(steps)]
    changes = {"compiled": ("compiled", "ours")}
    if choose_device("auto").type == "cuda":  # ours is compiled already
        changes = {"compiled, as a CUDA graph": ("ours", "eager")}
    changes["recomputed"] = ("recomputed", "ours")
    found = in_turns(__file__, sorted({*chain(*changes.values())}), options, rounds)
    note = "plain: the same without; the first steps, which compile, are not counted"
    for called, (side, other) in changes.items():
        speed, plain = (batch / found[each]["seconds"] for each in (side, other))
        yield Row(f"{name}, {called}", "images/s", speed, plain, None, note=note)
        memory, plain = (found[each]["memory"] for each in (side, other))
        yield Row(
            f"{name}, {called}: at its peak, whole process",
            "GB", memory, plain, None, smaller_is_better=True,
        )  # fmt: skip


def rows() -> Iterator[Row]:
    """What a GPU is measured by, where there is one; else what two cores are."""
    if choose_device("auto").type == "cuda":
        yield from step_rows("b16", 128, 1.9, steps=10, rounds=2)
        yield from step_rows("b16", 8, 3.0, steps=20, rounds=2)
        yield from changed_rows("b16", 128, steps=10, rounds=1)
        return
    for batch, target in ((128, 1.9), (8, 3.0)):
        yield unmeasured(f"training step, b16, batch {batch}, on a GPU", "images/s", target)
    yield from step_rows("b16", 2, 1.5, steps=2, rounds=3)
    yield from step_rows("tiny", 64, 1.5, steps=2, rounds=3)
    yield from changed_rows("tiny", 64, steps=3, rounds=3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", choices=PRESETS, help="one preset alone")
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--side", choices=("plain", *COMPILE), help=argparse.SUPPRESS)
    parser.add_argument("--profile", action="store_true", help="what a step of ours spends time in")
    options = parser.parse_args()
    if options.profile:
        measure("ours", options.preset or "b16", options.batch, options.steps, profile=True)
    elif options.side:
        print(json.dumps(measure(options.side, options.preset, options.batch, options.steps)))
    elif options.preset:
        chosen = step_rows(options.preset, options.batch, 1.5, options.steps, options.rounds)
        print_rows("Training step", chosen)
    else:
        print_rows("Training step", rows())


if __name__ == "__main__":
    main()
