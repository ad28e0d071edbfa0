"""The model that comes with the package, trained again by its recipes in so many seconds: the
first one as it is, the second one for as many steps as fit.

    python benchmarks/scenes.py FOLDER --seconds 120

FOLDER/scenes is then a run that `stellar pretrain --resume` goes on with where it was stopped, and
that `recipes/ship.py` writes into the package once it is finished.
"""

import argparse
import os
import sys
from dataclasses import replace
from pathlib import Path
from time import monotonic

from rich.console import Console

from stellar.config import RunConfig
from stellar.config_toml import read_run_config
from stellar.study.runs import within
from stellar.training import pretrain

RECIPES = Path(__file__).parents[1] / "recipes"
MARGIN = 0.8
"""Of the time that is left, for steps: the rest is for metrics, checkpoints and the start."""


def recipe(name: str, toy: bool) -> RunConfig:
    """With as many workers as there are cores for, or for a rehearsal."""
    config = read_run_config(RECIPES / name)
    workers = 1 if toy else max(1, len(os.sched_getaffinity(0)) - 2)
    training = replace(config.training, num_workers=workers)
    if toy:
        training = replace(training, steps=2, batch_size=8)
    return replace(config, training=training)


def train(folder: Path, seconds: float, toy: bool) -> bool:
    """Both stages; False when it was stopped early, with a checkpoint."""
    end, console = monotonic() + seconds, Console()
    autoencoder, run = folder / "scenes-mae", folder / "scenes"
    if not pretrain(recipe("scenes-1-mae.toml", toy), autoencoder, console=console).finished:
        return False
    config = replace(recipe("scenes-2-stellar.toml", toy), init=str(autoencoder))
    if not toy:
        config = within(config, MARGIN * (end - monotonic()) / 60, run)
    return pretrain(config, run, console=console).finished


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--toy", action="store_true", help="two steps of each")
    options = parser.parse_args()
    return 0 if train(options.folder, options.seconds, options.toy) else 130


if __name__ == "__main__":
    sys.exit(main())
