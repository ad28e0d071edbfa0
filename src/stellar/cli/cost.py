"""`stellar cost`."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from stellar.cli.options import options_and_rest_of, options_of
from stellar.quantities import counted, digits, scaled

if TYPE_CHECKING:
    from stellar.config import RunConfig
    from stellar.cost import Plan

DESCRIPTION = """Say what a training run would cost: arithmetic, hours, memory, disk and network.

  stellar cost b16 l16 h16 --images 1.28M --gpus 16
  stellar cost h16 --images 100M --gpus 64 --training.parallel fsdp --training.epochs 1
  stellar cost runs/photos --images 20k --tflops 80

Computed by formulas from the settings, and not measured: --tflops is what you expect a GPU to
sustain. Any setting of a run can be changed. Prints a Markdown table."""

UNITS = {"k": 1e3, "M": 1e6, "G": 1e9, "B": 1e9}
SHORTEST = 0.02
"""Seconds of a step below which arithmetic does not tell how long it takes."""
BY_WORKERS = "views.crops = workers"
"""Where a GPU cuts the crops, these rows are others."""


@dataclass(frozen=True)
class Options:
    """What to train, on what."""

    runs: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="PRESET")] = (
        "b16",
    )
    """Presets, runs, or run.toml files; a column for each."""
    images: str = "1.28M"
    """Images of an epoch: 20k, 1.28M, 1G."""
    image_kilobytes: float = 110.0
    """Size of a picture's file; ImageNet's are about 110 kB."""
    gpus: int = 1
    """How many GPUs share the batch."""
    tflops: float = 330.0
    """TFLOP/s that each sustains in bf16; 330 are an H200's, in a step of B/16. Two cores of an
    Intel Xeon sustain 0.24 in a step of the preset tiny.
    """
    images_per_core: float = 180.0
    """Images/s that a CPU core makes the views of, with views.crops = workers: an assumption."""


def run(arguments: Sequence[str]) -> int:
    options, rest = options_and_rest_of(Options, "cost", arguments, DESCRIPTION)
    from stellar.config import RunConfig
    from stellar.cost import Machines, plan
    from stellar.errors import UserError

    if not options.runs:
        raise UserError("cost needs presets or run.toml files, as in: stellar cost b16 l16")
    images = count(options.images)
    for name in ("gpus", "image_kilobytes", "tflops", "images_per_core"):
        if not 0 < (value := getattr(options, name)) < math.inf:
            raise UserError(f"--{name.replace('_', '-')} must be a number above 0, got {value}")
    machines = Machines(options.gpus, options.tflops * 1e12, options.images_per_core)
    columns, short = {}, []
    for name in options.runs:
        config = options_of(RunConfig, "cost", rest, DESCRIPTION, default=_start(name))
        figures = plan(config, images, machines)
        columns[name] = rows(config, figures, images, options)
        if config.training.batch_size / figures.images_per_second < SHORTEST:
            short.append(name)
    print(table(columns))
    if short:
        print(
            f"\n{', '.join(short)}: steps as short as these take longer, since a GPU waits for its "
            "work to be prepared; for a CPU, say with --tflops what it sustains"
        )
    return 0


def count(text: str) -> int:
    """1.28M -> 1,280,000. Raises UserError for what is no number."""
    from stellar.errors import UserError

    number, unit = (text[:-1], UNITS[text[-1]]) if text[-1:] in UNITS else (text, 1)
    try:
        if (images := round(float(number) * unit)) > 0:
            return images
    except (ValueError, OverflowError):
        pass
    raise UserError(f"--images must be a number such as 20000, 20k, 1.28M or 1G, got {text!r}")


def _start(name: str) -> "RunConfig":
    """The settings of a preset, a run or a run.toml. Raises ConfigError for anything else."""
    from stellar.config_toml import SETTINGS, read_run_config
    from stellar.presets import PRESETS
    from stellar.storage import at_home

    file = Path(at_home(name))
    file = file / SETTINGS if (file / SETTINGS).is_file() else file
    return read_run_config(file) if file.suffix == ".toml" else PRESETS[name]()


def rows(config: "RunConfig", plan: "Plan", images: int, options: Options) -> dict[str, str]:
    """One column: what, and how much of it."""
    training, image, memory = config.training, plan.image, plan.memory
    encoder = {
        "full": image.full, "masked": image.masked, "local": image.local,
        "second": image.second + image.teacher,
    }  # fmt: skip
    parts = {"encoder": sum(encoder.values()), "tokenizer": image.tokenizer}
    parts |= {"decoder": image.decoder, "heads": image.heads}
    state = memory.total - memory.activations
    seconds = training.batch_size / plan.images_per_second
    exchange = f"{scaled(plan.exchange, 'B')}, {scaled(plan.exchange / seconds, 'B/s')}"
    of_a_core = f"{options.images_per_core:g} images/s"
    hours = plan.encoding * images / (options.tflops * 1e12) / 3600
    embedded, folder = images * plan.embedding, images * options.image_kilobytes * 1e3
    return {
        "parameters that learn": scaled(plan.parameters),
        "an image, forward and backward": scaled(image.total, "FLOP"),
        "of it in " + ", ".join(parts): shares(parts),
        "of the encoder in " + ", ".join(encoder) + " views": shares(encoder),
        "epochs of images": f"{training.epochs:g} of {scaled(images)}"
        if training.steps is None
        else f"{training.steps * training.batch_size / images:.3g} of {scaled(images)}",
        "steps of images": f"{plan.steps:,} of {training.batch_size:,}",
        "the run": scaled(plan.flop, "FLOP"),
        f"GPU hours at {options.tflops:g} TFLOP/s": digits(plan.gpu_hours),
        f"hours on {counted(options.gpus, 'GPU')}": digits(plan.gpu_hours / options.gpus),
        "seconds a step": digits(seconds),
        "images a second, all GPUs": digits(plan.images_per_second),
        "memory of a GPU": scaled(memory.total, "B"),
        "of it state, activations": f"{scaled(state, 'B')}, {scaled(memory.activations, 'B')}",
        "sent by a GPU in a step, a second": exchange if options.gpus > 1 else "none",
        "a checkpoint": scaled(plan.checkpoint, "B"),
        f"CPU cores, all together, at {of_a_core}, {BY_WORKERS}": digits(plan.cores),
        f"views to the GPUs, {BY_WORKERS}": scaled(plan.images_per_second * plan.pixels, "B/s"),
        f"picture files, {options.image_kilobytes:g} kB each": scaled(folder, "B"),
        "read from disk": scaled(plan.images_per_second * options.image_kilobytes * 1e3, "B/s"),
        "embedding: an image": f"{scaled(plan.encoding, 'FLOP')}, {scaled(plan.embedding, 'B')}",
        "embedding: all images": f"{digits(hours)} GPU hours, {scaled(embedded, 'B')}",
    }


def shares(parts: dict[str, int]) -> str:
    """In percent, in the order that they came."""
    total = sum(parts.values())
    return ", ".join(f"{100 * value / total:.0f}" for value in parts.values()) + " %"


def table(columns: dict[str, dict[str, str]]) -> str:
    """Markdown."""
    names = next(iter(columns.values()))
    lines = [["", *columns], ["---"] * (1 + len(columns))]
    lines += [[name, *(column[name] for column in columns.values())] for name in names]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
