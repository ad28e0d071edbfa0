"""Checkpoints: the whole state of a run at one step, sealed with checksums.

A folder `checkpoints/step-00001000` holds the model as `stellar.load` reads it (heads and teacher
included; the run's settings stand in its `config.json`), and `state.pt` with the optimizer and the
counters. Everything random is a function of (seed, step), so nothing else is needed to continue
exactly.
"""

import pickle
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from stellar.config import RunConfig
from stellar.model.files.locating import WEIGHTS, checkpoints
from stellar.model.files.prefixes import FROZEN
from stellar.model.files.saving import own_tensors, save_model
from stellar.model.files.strict_loading import WeightsError, load_weights
from stellar.model.files.tensors import read_state
from stellar.objective import PretrainingModel
from stellar.processes.exchange import on_first, together
from stellar.processes.sharded import is_sharded
from stellar.storage import damage, place_folder, remove, torch_file
from stellar.training.kept_settings import require_kept
from stellar.training.optimizer import moments, set_moments

STATE = "state.pt"


@dataclass(frozen=True)
class Counters:
    """Where a run is."""

    step: int = 0
    """Optimizer steps taken (skipped ones included)."""
    skipped_in_a_row: int = 0
    """Steps just before this one that had a non-finite loss."""
    skipped: int = 0
    """All such steps."""

    def __post_init__(self) -> None:
        if not all(type(count) is int and count >= 0 for count in asdict(self).values()):
            raise TypeError(f"counts are whole numbers from 0 on, got {self}")


def save_checkpoint(
    run: Path,
    model: PretrainingModel,
    optimizer: torch.optim.Optimizer,
    counters: Counters,
    told: Mapping[str, Any] | None = None,
) -> Path:
    """Write, sync and rename; a crash at any moment leaves the earlier checkpoints as they were.
    `told` is what its `config.json` tells of the run, beside the model's sizes and objective.

    The first process calls it; where the model is sharded, the others must `give_parts` meanwhile.
    """
    folder = run / "checkpoints" / f"step-{counters.step:08d}"
    tensors, state = own_tensors(model), moments(model, optimizer)

    def write(target: Path) -> None:
        config = {"objective": asdict(model.objective), **(told or {})}
        save_model(target, model, config, tensors)
        with torch_file(target / STATE) as file:
            torch.save({"moments": state, "counters": asdict(counters)}, file)

    place_folder(folder, write)
    return folder


def give_parts(model: PretrainingModel, optimizer: torch.optim.Optimizer) -> None:
    """What other processes do while the first saves a checkpoint: nothing, unless the model is
    sharded.
    """
    if any(is_sharded(parameter) for parameter in model.parameters()):
        own_tensors(model)
        moments(model, optimizer)


def prune(run: Path, step: int, keep_every: int, newest: int = 2) -> None:
    """Of the checkpoints up to this step, which was written just now, keep the newest ones and
    every `keep_every`-th step. Later ones were damaged when the run was resumed from before them;
    now that it has gone on, they go too.
    """
    found = checkpoints(run)
    past = [folder for folder in found if _step_of(folder) <= step]
    kept = {*past[-newest:], *(f for f in past if keep_every and _step_of(f) % keep_every == 0)}
    for folder in found:
        if folder not in kept:
            remove(folder)


def newest_before(run: Path, step: int) -> Path | None:
    """The newest checkpoint of an earlier step than this one."""
    earlier = [folder for folder in checkpoints(run) if _step_of(folder) < step]
    return earlier[-1] if earlier else None


def _step_of(folder: Path) -> int:
    return int(folder.name.removeprefix("step-"))


def restore(
    run: Path,
    model: PretrainingModel,
    optimizer: torch.optim.Optimizer,
    config: RunConfig,
    warn: Callable[[str], object],
) -> Counters:
    """Load the newest checkpoint that is whole, as the first process finds it; `warn` is told of
    damaged ones. Without any, nothing changes.

    Raises WeightsError when there are checkpoints, but none is whole, and ConfigError when it was
    made with other settings than those of `config`.
    """
    newest = on_first(lambda: _newest_whole(run, warn))
    if newest is None:
        return Counters()
    with together():
        return _read(newest, model, optimizer, config)


def _newest_whole(run: Path, warn: Callable[[str], object]) -> Path | None:
    found = checkpoints(run)
    for folder in reversed(found):
        problem = damage(folder)
        if problem is None:
            return folder
        warn(f"checkpoint {folder.name} is damaged ({problem}); falling back to the one before")
    if found:
        raise WeightsError(
            f"none of the {len(found)} checkpoints in {run} is whole; start a new run"
        )
    return None


def _read(
    folder: Path, model: PretrainingModel, optimizer: torch.optim.Optimizer, config: RunConfig
) -> Counters:
    if not folder.is_dir():
        raise WeightsError(
            f"{folder}, which the first process sees, is not on this machine; keep a run on a file "
            "system that all its machines share"
        )
    require_kept(folder, config)
    load_weights(model, read_state(folder / WEIGHTS), ignore=FROZEN)
    try:
        state = torch.load(folder / STATE, map_location="cpu", weights_only=True)
        found, counters = state["moments"], Counters(**state["counters"])
    except (pickle.UnpicklingError, RuntimeError, KeyError, TypeError) as error:
        raise WeightsError(
            f"{folder / STATE} is from another version of stellar; start a new run, with --init "
            f"{folder.parents[1]} from what this one learned"
        ) from error
    set_moments(model, optimizer, found)
    return counters
