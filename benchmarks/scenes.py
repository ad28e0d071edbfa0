"""The model that comes with the package, trained again by its recipe, for as many steps as fit into
the seconds that there are.

    python benchmarks/scenes.py FOLDER --seconds 120

FOLDER/scenes is then a run that `stellar pretrain --resume` goes on with where it was stopped, and
that `recipes/ship.py` writes into the package once it is finished.
"""

import argparse
import os
import sys
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from stellar.config_toml import read_run_config
from stellar.study.runs import within
from stellar.training import pretrain

RECIPE = Path(__file__).parents[1] / "recipes/scenes.toml"
MARGIN = 0.8
"""Of the time, for steps: the rest is for metrics, checkpoints and the start."""


def train(run: Path, seconds: float, toy: bool) -> bool:
    """False when it was stopped early, with a checkpoint."""
    config = read_run_config(RECIPE)
    workers = 1 if toy else max(1, len(os.sched_getaffinity(0)) - 2)
    config = replace(config, training=replace(config.training, num_workers=workers))
    if toy:
        config = replace(config, training=replace(config.training, steps=2, batch_size=8))
    else:
        config = within(config, MARGIN * seconds / 60, run)
    return pretrain(config, run, console=Console()).finished


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--toy", action="store_true", help="two steps")
    options = parser.parse_args()
    return 0 if train(options.folder / "scenes", options.seconds, options.toy) else 130


if __name__ == "__main__":
    sys.exit(main())
