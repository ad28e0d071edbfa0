"""What the small presets are settled by: changes of the demo's run, three trainings each, judged on
a split of the drawn scenes that nothing else looks at.

    python recipes/trials.py --out runs/trials                       all of them: hours on two cores
    python recipes/trials.py "no noise on L" "patches of 4 px"       some

Prints one table with mean and spread. Called again, it goes on.
"""

import argparse
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from stellar.config import RunConfig
from stellar.data import open_scenes
from stellar.demo import with_steps
from stellar.evaluation.report.terminal import print_changes
from stellar.presets import demo
from stellar.study.ablate import ablate

Change = Callable[[RunConfig], RunConfig]


def with_section(section: str, **fields: Any) -> Change:
    """The run with these fields of a section."""
    return lambda run: replace(run, **{section: replace(getattr(run, section), **fields)})


TRIALS: dict[str, Change] = {
    "no noise on L": with_section("objective", spatial_noise=0.0),
    "noise 2 on L": with_section("objective", spatial_noise=2.0),
    "patches of 4 px": with_section("model", patch_size=4),
    "4 tokens": with_section("model", num_sparse_tokens=4),
    "8 tokens": with_section("model", num_sparse_tokens=8),
    "12 tokens": with_section("model", num_sparse_tokens=12),
    "reconstruction 100": with_section("objective", reconstruction_weight=100.0),
    "shared crop": with_section("views", share_crop=True),
    "masking 0.75": with_section("views", masking_ratio=0.75),
    "crops from 0.6": with_section("views", global_scale=(0.6, 1.0)),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="TRIAL", help=f"of {', '.join(TRIALS)}")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--num-seeds", type=int, default=3)
    parser.add_argument("--scenes", type=int, default=1000, help="to learn from, and to ask")
    parser.add_argument("--out", type=Path, default=Path("runs/trials"))
    options = parser.parse_args()
    if unknown := [name for name in options.names if name not in TRIALS]:
        parser.error(f"no trial is called {', '.join(unknown)}; there are {', '.join(TRIALS)}")
    base, console = with_steps(demo(), options.steps), Console()
    scenes = open_scenes(base.model, options.scenes, options.scenes, test_split="tuning")
    chosen = {name: TRIALS[name] for name in options.names or TRIALS}
    print_changes(
        ablate(base, scenes, options.out, chosen, options.num_seeds, console=console), console
    )


if __name__ == "__main__":
    main()
