"""Checkpoints: the whole state of a run at one step, sealed with checksums.

A folder `checkpoints/step-00001000` holds the model as `stellar.load` reads it (heads and teacher
included), and `state.pt` with the optimizer and the counters. Everything random is a function of
(seed, step), so nothing else is needed to continue exactly.
"""

import pickle
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from stellar.model.files.history import KEY as HISTORY
from stellar.model.files.history import History
from stellar.model.files.loading import WeightsError, load_weights
from stellar.model.files.reading import read_state
from stellar.model.files.saving import FROZEN, WEIGHTS, checkpoints, save_model
from stellar.objective import PretrainingModel
from stellar.storage import damage, place_folder

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


def save_checkpoint(
    run: Path,
    model: PretrainingModel,
    optimizer: torch.optim.Optimizer,
    counters: Counters,
    history: History | None = None,
) -> Path:
    """Write, sync and rename; a crash at any moment leaves the earlier checkpoints as they were."""
    folder = run / "checkpoints" / f"step-{counters.step:08d}"

    def write(target: Path) -> None:
        config = {"objective": asdict(model.objective)}
        if history is not None:
            config[HISTORY] = asdict(history)
        save_model(target, model, config)
        state = {"optimizer": optimizer.state_dict(), "counters": asdict(counters)}
        torch.save(state, target / STATE)

    place_folder(folder, write)
    return folder


def prune(run: Path, keep_every: int, newest: int = 2) -> None:
    """Remove all checkpoints but the newest ones and every `keep_every`-th step."""
    for folder in checkpoints(run)[:-newest]:
        step = int(folder.name.removeprefix("step-"))
        if not (keep_every and step % keep_every == 0):
            shutil.rmtree(folder)


def restore(
    run: Path,
    model: PretrainingModel,
    optimizer: torch.optim.Optimizer,
    warn: Callable[[str], object],
) -> Counters:
    """Load the newest checkpoint that is whole; `warn` is told of damaged ones. Without any,
    nothing changes.

    Raises WeightsError when there are checkpoints, but none is whole.
    """
    found = checkpoints(run)
    for folder in reversed(found):
        problem = damage(folder)
        if problem is None:
            return _read(folder, model, optimizer)
        warn(f"checkpoint {folder.name} is damaged ({problem}); falling back to the one before")
    if found:
        raise WeightsError(
            f"none of the {len(found)} checkpoints in {run} is whole; start a new run"
        )
    return Counters()


def _read(folder: Path, model: PretrainingModel, optimizer: torch.optim.Optimizer) -> Counters:
    load_weights(model, read_state(folder / WEIGHTS), ignore=FROZEN)
    try:
        state = torch.load(folder / STATE, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError) as error:
        raise WeightsError(f"{folder / STATE} cannot be read: {error}") from error
    optimizer.load_state_dict(state["optimizer"])
    return Counters(**state["counters"])
