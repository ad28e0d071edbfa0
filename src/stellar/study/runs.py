"""What every study does with a run: train it to its end, for so many steps or minutes, and say what
it was trained on.
"""

import math
from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from rich.console import Console

from stellar.config import RunConfig
from stellar.configfile import read_run_config
from stellar.data import Cutouts, MaskedSplits, Splits
from stellar.errors import Interrupted
from stellar.evaluation.scores import Evaluation
from stellar.model import Stellar
from stellar.model.history import public_name
from stellar.precision import choose_device
from stellar.training import RunError, pretrain, resume
from stellar.training.run_folder import CONFIG, METRICS, read_metrics
from stellar.training.setup import resolved, with_whole_path
from stellar.weights import load

TRIAL_STEPS = 12
"""Of a run that only shows how fast a variant trains."""


def trained(config: RunConfig, run: Path, console: Console | None = None) -> Stellar:
    """The model of a finished run in this folder, which is begun or gone on with where needed.

    Raises RunError when it holds a run of another configuration, Interrupted when it was stopped.
    """
    if not (run / CONFIG).is_file():
        result = pretrain(config, run, console=console)
    elif _is_written_of(config, run):
        result = resume(run, console=console)
    else:
        raise RunError(f"{run} holds a run with other settings; remove it, or choose another --out")
    if not result.finished:
        raise Interrupted("stopped and saved; the same command goes on")
    return load(run, choose_device("auto"))


def _is_written_of(config: RunConfig, run: Path) -> bool:
    """Whether a run has this configuration. What it started from, which may be gone by now, is
    opened only where a backbone's sizes may be all that differs.
    """
    written = read_run_config(run / CONFIG)
    return written == with_whole_path(config) or written == resolved(config)


def within(config: RunConfig, minutes: float, run: Path) -> RunConfig:
    """The same run with as many steps as it makes in so many minutes here, by a short trial; with
    those that it was begun with, where it was begun.
    """
    if (run / CONFIG).is_file():
        steps = read_run_config(run / CONFIG).training.steps
        return replace(config, training=replace(config.training, steps=steps))
    trial = replace(
        config, training=replace(config.training, steps=TRIAL_STEPS, log_every=1, sample_every=0)
    )
    with TemporaryDirectory() as folder:
        result = pretrain(trial, Path(folder) / "run")
        if not result.finished:
            raise Interrupted("stopped before the first training")
        averages = [row["images_per_second"] for row in read_metrics(result.folder / METRICS)]
    speeds = [10 * after - 9 * before for before, after in pairwise(averages)]
    per_second = median(speeds) / config.training.batch_size
    steps = max(1, math.floor(60 * minutes * per_second))
    return replace(config, training=replace(config.training, steps=steps))


def with_protocol(evaluation: Evaluation, protocol: Mapping[str, str]) -> Evaluation:
    """The evaluation, with more to say about how it was made."""
    return replace(evaluation, protocol={**evaluation.protocol, **protocol})


def trained_on(base: RunConfig, data: Splits | MaskedSplits) -> dict[str, str]:
    """What a reader must know of the pictures that were trained on, without labels."""
    if isinstance(data.test, Cutouts):
        return {"trained on": "scenes that share no pixel with the test set"}
    return {"trained on": f"all pictures of {public_name(base.data)}, without labels; those of the "
            "test set are among them where they lie in it"}  # fmt: skip
