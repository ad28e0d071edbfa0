"""Start a run, or go on with one.

    torchrun --nproc-per-node 8 -m stellar pretrain --data FOLDER --preset b16

runs the same on eight GPUs.
"""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.console import Console

from stellar.config import RunConfig
from stellar.configfile import read_run_config
from stellar.distributed import Ranks, process_group
from stellar.model.files.saving import checkpoints
from stellar.precision import choose_device
from stellar.training.loop import Training
from stellar.training.run_folder import CONFIG, RunError, RunFolder
from stellar.training.setup import prepare, with_whole_path


@dataclass(frozen=True)
class PretrainResult:
    """Where a run was left."""

    folder: Path
    """For `stellar.load`."""
    step: int
    """Optimizer steps taken."""
    finished: bool
    """False when it was interrupted; resume it to go on."""


def pretrain(
    config: RunConfig, out: str | Path, device: str = "auto", console: Console | None = None
) -> PretrainResult:
    """Train STELLAR on a folder of images, or on the embedded scenes, and write everything into
    the folder `out`.

    Raises ConfigError, DataError, RunError or WeightsError, each with a sentence, before a step
    is taken, and TrainingStopped when the loss stays non-finite. `console` shows progress; None
    is silent.
    """
    return _train(with_whole_path(config), Path(out), device, console, resumed=False)


def resume(out: str | Path, device: str = "auto", console: Console | None = None) -> PretrainResult:
    """Go on with the run in `out`, under its own configuration, exactly where its newest whole
    checkpoint is.

    Raises as `pretrain` does.
    """
    out = Path(out)
    if not (out / CONFIG).is_file():
        raise RunError(
            f"{out} holds no run to resume ({CONFIG} is missing); start one without --resume"
        )
    return _train(read_run_config(out / CONFIG), out, device, console, resumed=True)


def _train(
    config: RunConfig, out: Path, device: str, console: Console | None, resumed: bool
) -> PretrainResult:
    parts = prepare(config, start=not (resumed and checkpoints(out)))
    config = parts.config
    with process_group(choose_device(device)) as ranks:
        first: AbstractContextManager[RunFolder | None] = nullcontext()
        if ranks.rank == 0:
            first = RunFolder(out, config) if resumed else RunFolder.create(out, config)
        with first as run:
            training = Training(config, parts, run, ranks, own_device(device, ranks), console)
            if resumed:
                step = training.restore(out)
                if run is not None:
                    run.forget_after(step)
            if parts.taken_over:
                training.recorder.say(parts.taken_over)
            finished = training.run_to_end()
            return PretrainResult(out, training.counters.step, finished)


def own_device(device: str, ranks: Ranks) -> torch.device:
    """The GPU of this process where there are several, else what was asked for."""
    chosen = choose_device(device)
    if chosen.type == "cuda" and chosen.index is None:
        chosen = torch.device("cuda", ranks.local_rank)
    if chosen.type == "cuda":
        torch.cuda.set_device(chosen)
    return chosen
