"""What every study does with a run: train it to its end, for so many steps or minutes, and say what
it was trained on.
"""

import math
from pathlib import Path
from statistics import median

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
from stellar.training.recorder import Look
from stellar.training.setup import resolved, with_whole_paths
from stellar.training.speed import seconds_of_steps

TRIAL_STEPS = 12
"""Steps that are taken to see how fast a run trains."""
SLOW_STEPS = 3
"""The first of them, which do not count: workers start, and networks are compiled and recorded."""


def trained(
    config: RunConfig, run: Path, console: Console | None = None, look: Look | None = None
) -> Stellar:
    """The model of a finished run in this folder, which is begun or gone on with where needed;
    `look` is that of `pretrain`.

    Raises RunError when it holds a run of another configuration, Interrupted when it was stopped.
    """
    if not (run / SETTINGS).is_file():
        result = pretrain(config, run, console=console, look=look)
    else:
        _require_same_settings(config, run)
        result = resume(run, console=console, look=look)
    if not result.finished:
        raise Interrupted("stopped and saved; the same command goes on")
    return load(run, choose_device("auto"))


def _require_same_settings(config: RunConfig, run: Path) -> None:
    """Raises RunError when a run has other settings. What it started from is opened only where the
    sizes of a backbone may be all that differs.
    """
    written = read_run_config(run / SETTINGS)
    try:
        same = written == with_whole_paths(config) or written == resolved(config)
    except WeightsError:  # what it started from is gone, or another is named
        same = False
    if not same:
        raise RunError(f"{run} holds a run with other settings; remove it, or choose another --out")


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
