"""Start a run, or go on with one.

    torchrun --nproc-per-node 8 -m stellar pretrain --data FOLDER --preset b16
    srun --ntasks-per-node 8 stellar pretrain --data FOLDER --preset b16

run the same on eight GPUs, or on those of many machines.
"""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.console import Console

from stellar.config import ConfigError, RunConfig
from stellar.config_toml import SETTINGS, read_run_config
from stellar.data import DataError, ImageSource
from stellar.data.sources import are_shards, require_outside
from stellar.model.files.locating import checkpoints
from stellar.precision import choose_device
from stellar.processes.device import own_device
from stellar.processes.exchange import on_first, process_group, together
from stellar.processes.launch import Ranks, own_ranks
from stellar.storage import at_home
from stellar.training.loop import Training
from stellar.training.recorder import Look, Told
from stellar.training.run_folder import RunError, RunFolder
from stellar.training.setup import (
    prepare,
    require_possible,
    require_the_same_data,
    with_whole_paths,
)


@dataclass(frozen=True)
class PretrainResult:
    """Where a run was left."""

    folder: Path
    """For `stellar.load`."""
    step: int
    """Optimizer steps taken, as its newest checkpoint has them; 0 where none was written."""
    finished: bool
    """False when it was interrupted; resume it to go on."""


def pretrain(
    config: RunConfig,
    out: str | Path,
    device: str = "auto",
    console: Console | None = None,
    look: Look | None = None,
    told: Told | None = None,
    source: ImageSource | None = None,
) -> PretrainResult:
    """Train STELLAR on a folder of images, or on the embedded scenes, and write everything into
    the folder `out`.

    Raises ConfigError, DataError, RunError or WeightsError, each with a sentence, before a step
    is taken, and TrainingStopped when the loss stays non-finite, or is so at the end. `console`
    shows progress; None is silent. `look` is called with the model every `training.sample_every`
    steps and at the end, and what it says is shown. `told` is called with every row that
    `metrics.jsonl` gets, in the first process: what W&B and the like need.

    A `source` of yours is read in the place of `config.data`, which then only says what it is. It
    must be picklable, as each of the loader's workers has a copy: a large array stays in its file.
    Where it has a `fingerprint()`, a run is not resumed with another.
    """
    if not isinstance(config, RunConfig):
        raise ConfigError(
            "a run is described by a RunConfig, as stellar.PRESETS['tiny']() is one, got "
            f"a {type(config).__name__}"
        )
    out, ranks = Path(at_home(out)), own_ranks()
    with process_group(ranks, chosen := own_device(choose_device(device), ranks)):
        config = with_whole_paths(config)
        return _train(config, out, ranks, chosen, console, look, told, source, resumed=False)


def resume(
    out: str | Path,
    device: str = "auto",
    console: Console | None = None,
    look: Look | None = None,
    told: Told | None = None,
    source: ImageSource | None = None,
) -> PretrainResult:
    """Go on with the run in `out`, under its own configuration, exactly where its newest whole
    checkpoint is. The number of processes may be another. A run on a `source` of yours needs it
    again.

    Raises as `pretrain` does.
    """
    out, ranks = Path(at_home(out)), own_ranks()
    with process_group(ranks, chosen := own_device(choose_device(device), ranks)):
        config = on_first(lambda: config_of(out))
        return _train(config, out, ranks, chosen, console, look, told, source, resumed=True)


def config_of(run: Path) -> RunConfig:
    """The configuration of a run. Raises RunError where there is none."""
    if not (run / SETTINGS).is_file():
        raise RunError(
            f"{run} holds no run to resume ({SETTINGS} is missing); start one without --resume"
        )
    return read_run_config(run / SETTINGS)


@torch.inference_mode(False)
@torch.enable_grad()
def _train(
    config: RunConfig,
    out: Path,
    ranks: Ranks,
    device: torch.device,
    console: Console | None,
    look: Look | None,
    told: Told | None,
    source: ImageSource | None,
    resumed: bool,
) -> PretrainResult:
    with together():
        require_possible(config, ranks, device)
        if source is None and config.data:
            require_outside(out, config.data)
        start = not (resumed and checkpoints(out))
        try:
            ingredients = prepare(config, start, source)
        except DataError as error:
            is_there = are_shards(config.data) or Path(config.data).exists()
            if not resumed or source is not None or is_there:
                raise
            raise _where_it_was(error, out) from error
    require_the_same_data(ingredients.source)
    config = ingredients.config
    first: AbstractContextManager[RunFolder | None] = nullcontext()
    with together():
        if ranks.rank == 0:
            first = RunFolder(out, config) if resumed else RunFolder.create(out, config)
    with first as run:
        with together():
            if run is not None:
                run.require_pictures(ingredients.source)
        training = Training.set_up(ingredients, run, ranks, device, console, look, told)
        if resumed:
            step = training.restore(out)
            if run is not None:
                run.forget_after(step)
        if ingredients.taken_over:
            training.recorder.say(ingredients.taken_over)
        finished = training.run_to_end()
        return PretrainResult(out, training.saved_step, finished)


def _where_it_was(error: DataError, out: Path) -> DataError:
    """The sentence about the data of a run that goes on, and is not there any more."""
    return DataError(
        f"{error}; put it back, or say in {out / SETTINGS} where it lies now; a source of your own "
        "goes to resume as it went to pretrain"
    )
