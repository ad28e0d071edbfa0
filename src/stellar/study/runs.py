"""What every study does with a run: train it to its end, for so many steps or minutes, and say what
it was trained on.
"""

import json
import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console

from stellar.config import RunConfig
from stellar.config_toml import SETTINGS, read_run_config
from stellar.data import MaskedSplits, Scenes, Splits
from stellar.errors import Interrupted
from stellar.load_model import load
from stellar.model import Stellar
from stellar.model.files.strict_loading import WeightsError
from stellar.model.history import public_name
from stellar.precision import choose_device
from stellar.training import RunError, pretrain, resume
from stellar.training.kept_settings import differing
from stellar.training.recorder import Look
from stellar.training.setup import resolved, with_whole_paths
from stellar.training.speed import seconds_of_steps

TRIAL_STEPS = 12
"""Steps that are taken to see how fast a run trains."""
SLOW_STEPS = 3
"""The first of them, which do not count: workers start, and networks are compiled and recorded."""
MOST_NAMED = 3
"""Settings that are named, of those in which a run differs from what is asked."""


def trained(
    config: RunConfig, run: Path, console: Console | None = None, look: Look | None = None
) -> Stellar:
    """The model of a finished run in this folder, which is begun, or gone on with as it was begun;
    `look` is that of `pretrain`.

    Raises Interrupted when it was stopped.
    """
    if not (run / SETTINGS).is_file():
        result = pretrain(config, run, console=console, look=look)
    else:
        result = resume(run, console=console, look=look)
    if not result.finished:
        raise Interrupted("stopped and saved; the same command goes on")
    return load(run, choose_device("auto"))


def require_same_settings(config: RunConfig, run: Path, out: Path) -> None:
    """Raises RunError when a run that was begun in this folder of `out` has other settings. What it
    started from is opened only where the sizes of a backbone may be all that differs.
    """
    if not (run / SETTINGS).is_file():
        return
    there, asked = read_run_config(run / SETTINGS), with_whole_paths(config)
    if there != asked:
        with suppress(WeightsError):  # what it started from is gone, or another is named
            asked = resolved(config)
    if others := differing(asdict(there), asdict(asked)):
        raise RunError(
            f"{out} holds runs with other settings ({_some(others)}); remove {out}, or choose "
            "another --out"
        )


def _some(others: Mapping[str, tuple[Any, Any]]) -> str:
    """The first settings that differ, in words, and how many more there are."""
    said = [
        f"{name}: {json.dumps(there)} there, {json.dumps(asked)} asked"
        for name, (there, asked) in others.items()
    ]
    more = [f"and {len(said) - MOST_NAMED} more"] if len(said) > MOST_NAMED else []
    return "; ".join([*said[:MOST_NAMED], *more])


def within(config: RunConfig, minutes: float, run: Path) -> RunConfig:
    """The same run with as many steps as fit into so many minutes here, by the median of a few that
    are timed. A run that was begun in this folder keeps the steps that it was begun with.

    Raises Interrupted when it was stopped meanwhile.
    """
    if (run / SETTINGS).is_file():
        return config.with_steps(read_run_config(run / SETTINGS).training.steps)
    seconds = median(seconds_of_steps(config, TRIAL_STEPS)[SLOW_STEPS:])
    return config.with_steps(max(1, math.floor(60 * minutes / seconds)))


def trained_on(base: RunConfig, data: Splits | MaskedSplits) -> dict[str, str]:
    """What a reader must know of the pictures that were trained on, without labels."""
    if isinstance(data.test, Scenes):
        return {"trained on": "scenes of other individuals than those of the test set"}
    return {"trained on": f"all pictures of {public_name(base.data)}, without labels; those of the "
            "test set are among them where they lie in it"}  # fmt: skip
