"""A training step of ViT-B/16 with the full objective, ours against the plain way: seconds and
peak memory.

Plain: all views at once, logits materialised, eager, in fp32 on a CPU and under bf16 autocast on a
GPU. Ours: by the step of `stellar pretrain`, in the precision that the machine computes in, one
group of views at a time, the heads by their identity; on a GPU compiled, and a CUDA graph.
Further rows show what single settings change.

    python benchmarks/training_step.py --batch 128 --profile      what a step spends its time in
"""

import argparse
import gc
import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import psutil
import torch

sys.path.insert(0, str(Path(__file__).parent))

import limits
from plain_step import plain_step
from profiling import profile_of
from sizes import SIZES, run_config, tokenizer_config
from stellar.config import RunConfig
from stellar.cost import training_flops
from stellar.data.views.masking import num_kept
from stellar.model.vqgan import VQGAN
from stellar.objective import PretrainingModel, StepResult, Views, step
from stellar.precision import autocast, choose_device, resolve_precision
from stellar.training.computation import compute_as
from stellar.training.cuda_graph import WARM_UP, CapturedStep
from stellar.training.optimizer import build_optimizer
from table import Row, forget_peak, in_turns, peak_memory, print_rows, unmeasured

OURS: dict[str, Any] = {"compile": "auto", "cuda_graph": True}
SIDES: dict[str, dict[str, Any]] = {
    "plain": {"compile": "off"},
    "eager": {"compile": "off"},
    "compiled": {"compile": "on"},
    "compiled where it can be": {"compile": "auto"},
    "ours": OURS,
    "recomputed": {**OURS, "recompute": True},
}
"""Settings of `training`, by the name of a side."""
HOW = {
    "cpu": "plain: fp32, eager, all views at once, logits written out",
    "cuda": "plain: bf16 autocast, eager, all views at once, logits written out; ours: compiled, "
    "and a CUDA graph",
}
"""Both sides, by the kind of device."""
MEMORY = {
    "memory": "at its peak, whole process",
    "rest": "of it beyond libraries, weights, gradients and AdamW's moments",
}


def random_views(config: RunConfig, batch: int, device: torch.device) -> Views:
    size, views = config.model.image_size, config.views
    patches = (size // config.model.patch_size) ** 2
    kept = num_kept(patches, views.masking_ratio)
    masked = batch * views.num_masked
    keep = torch.rand(masked, patches).argsort(dim=1)[:, :kept].sort(dim=1).values
    local = batch * views.num_local
    return Views(
        torch.rand(batch, 3, size, size, device=device),
        torch.rand(masked, 3, size, size, device=device),
        keep.to(device),
        torch.rand(local, 3, views.local_size, views.local_size, device=device),
    )


class Measured:
    """A model that trains on one batch of views, again and again, as a side does it."""

    def __init__(
        self, settings: Mapping[str, Any], preset: str, batch: int, plain: bool = False
    ) -> None:
        config, self.device = run_config(preset), choose_device("auto")
        training = replace(config.training, **settings)
        coded = config.model.decoder.target == "codes"
        with self.device:
            tokenizer = VQGAN(tokenizer_config(preset)) if coded else None
            model = PretrainingModel(config.model, config.objective, tokenizer)
        self.model = model.to(self.device)  # constants are made on the CPU
        compute_as(self.model, training, self.device)
        self.optimizer = build_optimizer(self.model, training)
        self.training, self.batch = training, batch
        self.views = random_views(config, batch, self.device)
        self.autocast = autocast(resolve_precision("auto", self.device), self.device)
        self.captures = training.cuda_graph and self.device.type == "cuda"
        self.run = self.plain if plain else self.ours
        if self.captures:
            self.run = CapturedStep(self.ours)
        learning = sum(
            p.numel() * p.element_size() for p in self.model.parameters() if p.requires_grad
        )
        # What no step can do without: weights, their gradients and AdamW's two moments.
        self.state = (3 * learning + resident()) if self.device.type == "cpu" else 4 * learning

    def plain(self, views: Views, _share: float) -> None:
        with self.autocast() if self.device.type == "cuda" else nullcontext():
            loss = plain_step(self.model, views)[0]
        loss.backward()

    def ours(self, views: Views, _share: float) -> StepResult:
        return step(
            self.model,
            views,
            lambda loss: loss.backward(),
            self.autocast,
            self.training.views_of_each(self.batch),
            pack_views=self.training.pack_views,
        )

    def seconds(self) -> float:
        """Of a whole step, optimizer included."""
        start = perf_counter()
        self.optimizer.zero_grad(set_to_none=not self.captures)
        self.run(self.views, 1.0)
        self.optimizer.step()
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        return perf_counter() - start


def measure(side: str, preset: str, batch: int, steps: int) -> dict[str, float]:
    """Of one side: median seconds of a step, and the peak of this process's memory, in GB."""
    return measure_settings(SIDES[side], preset, batch, steps, plain=side == "plain")


def measure_settings(
    settings: Mapping[str, Any], preset: str, batch: int, steps: int, plain: bool = False
) -> dict[str, float]:
    """The same of any settings of `training`."""
    gc.collect()  # what was measured before, whose compiled methods refer to their modules
    before = torch.cuda.memory_allocated() if torch.cuda.is_available() else 0
    measured = Measured(settings, preset, batch, plain)
    forget_peak(measured.device)
    times = [measured.seconds() for _ in range((WARM_UP + 1 if measured.captures else 1) + steps)]
    peak = peak_memory(measured.device) - before
    return {
        "seconds": median(times[-steps:]),
        "memory": peak / 1e9,
        "rest": (peak - measured.state) / 1e9,
    }


def resident() -> int:
    """Bytes of this process in memory, now."""
    return psutil.Process().memory_info().rss


@dataclass(frozen=True)
class Sizes:
    """Of what is measured on a GPU, or rehearsed."""

    preset: str
    batches: tuple[int, int]
    """A large one, and one so small that a GPU waits for its host."""
    steps: int

    def called(self, batch: int) -> str:
        return f"training step, {self.preset}, batch {batch}"


FULL, TOY = Sizes("b16", (128, 8), steps=8), Sizes("toy", (4, 2), steps=1)
PIECES = ("plain", "eager", "compiled where it can be", "ours")
"""All in one process: what is compiled is compiled once."""
APART = {
    "eager": ("eager", "plain"),
    "compiled": ("compiled where it can be", "eager"),
    "as a CUDA graph": ("ours", "compiled where it can be"),
}
"""What makes ours, piece by piece: with it, and without."""


def speed_rows(
    name: str, batch: int, preset: str, found: dict[str, dict[str, float]], target: float
) -> Iterator[Row]:
    """Speed and memory of ours against the plain way."""
    device = choose_device("auto")
    flops = training_flops(run_config(preset)).total
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
    for key, what in MEMORY.items():
        yield Row(
            f"{name}: {what}", "GB", found["ours"][key], found["plain"][key],
            4.0 if batch == 128 and key == "memory" else None, smaller_is_better=True,
        )  # fmt: skip


def changed_rows(
    name: str, batch: int, found: dict[str, dict[str, float]], changes: dict[str, tuple[str, str]]
) -> Iterator[Row]:
    """What each change does: its name, the side with it, and the side without."""
    note = "plain: the same without; the first steps, which compile, are not counted"
    for called, (side, other) in changes.items():
        speed, plain = (batch / found[each]["seconds"] for each in (side, other))
        yield Row(f"{name}, {called}", "images/s", speed, plain, None, note=note)
        memory, plain = (found[each]["memory"] for each in (side, other))
        yield Row(
            f"{name}, {called}: at its peak, whole process",
            "GB", memory, plain, None, smaller_is_better=True,
        )  # fmt: skip


def rows_of_sizes(sizes: Sizes) -> Iterator[Row]:
    """The step at both batches; eager, compiled and as a graph apart."""
    for batch, target in zip(sizes.batches, (1.9, 3.0), strict=True):
        found = {side: measure(side, sizes.preset, batch, sizes.steps) for side in PIECES}
        yield from speed_rows(sizes.called(batch), batch, sizes.preset, found, target)
        yield from changed_rows(sizes.called(batch), batch, found, APART)


def rows_on_a_cpu() -> Iterator[Row]:
    """Each round is a process of its own, so that its peak memory is its own; rounds alternate."""
    for batch, target in ((128, 1.9), (8, 3.0)):
        yield unmeasured(f"training step, b16, batch {batch}, on a GPU", "images/s", target)
    for preset, batch in (("b16", 2), ("small", 64)):
        yield from preset_rows(preset, batch, steps=2, rounds=3)
    found = in_turns(
        __file__, ("ours", "compiled", "recomputed"), options_of("small", 64, 3), rounds=3
    )
    changes = {side: (side, "ours") for side in ("compiled", "recomputed")}
    yield from changed_rows("training step, small, batch 64", 64, found, changes)


def preset_rows(preset: str, batch: int, steps: int, rounds: int) -> Iterator[Row]:
    found = in_turns(__file__, ("plain", "ours"), options_of(preset, batch, steps), rounds)
    yield from speed_rows(f"training step, {preset}, batch {batch}", batch, preset, found, 1.5)


def options_of(preset: str, batch: int, steps: int) -> list[str]:
    return ["--preset", preset, "--batch", str(batch), "--steps", str(steps)]


def rows(toy: bool = False) -> Iterator[Row]:
    if toy or choose_device("auto").type == "cuda":
        yield from rows_of_sizes(TOY if toy else FULL)
    else:
        yield from rows_on_a_cpu()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", choices=tuple(SIZES), help="one preset alone")
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--side", choices=SIDES, help="one side, its figures as JSON")
    parser.add_argument("--profile", action="store_true", help="what a step spends its time in")
    options = parser.parse_args()
    if options.profile:
        # Not as a graph, whose kernels belong to no part of the step.
        measured = Measured(
            SIDES["compiled where it can be"], options.preset or "b16", options.batch
        )
        print(profile_of(measured.seconds, measured.device))
    elif options.side:
        figures = measure(options.side, options.preset or "b16", options.batch, options.steps)
        print(json.dumps(figures))
    elif options.preset:
        chosen = preset_rows(options.preset, options.batch, options.steps, options.rounds)
        print_rows("Training step", chosen)
    else:
        print_rows("Training step", rows())


if __name__ == "__main__":
    main()
