"""`stellar ablate`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from stellar.cli.options import options_of
from stellar.cli.study_options import StudyOptions

DESCRIPTION = """Take the objective apart: what each term, the tokens and the temperature are for.

  stellar ablate --data scenes --steps 300
  stellar ablate "without reconstruction" "16 tokens" --num-seeds 5
  stellar ablate --list

Every change of the run is trained with several seeds and judged by the same tests. Prints one
table with mean and spread, and writes OUT/report.json. Called again, it goes on."""


@dataclass(frozen=True)
class Options(StudyOptions):
    """What to change, what to train on, and what to judge by."""

    changes: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="CHANGE")] = ()
    """Which changes; by default all that --list names."""
    list: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Name the changes, and leave."""
    steps: int = 300
    """Of each training."""
    out: Path = Path("ablation")


def run(arguments: Sequence[str]) -> int:
    options = options_of(Options, "ablate", arguments, DESCRIPTION)
    from rich.console import Console

    from stellar.cli.terminal import console
    from stellar.config import nearest
    from stellar.errors import UserError
    from stellar.evaluation.report.terminal import print_changes
    from stellar.study.ablate import ablate, ablations

    options.require_seeds()
    base = options.base(options.steps)
    known = ablations(base)
    if options.list:
        print("\n".join(known))
        return 0
    for name in options.changes:
        if name not in known:
            raise UserError(
                f"{name!r} is no change of this run{nearest(name, known)}; "
                "stellar ablate --list names them"
            )
    evaluation = ablate(
        base,
        options.test_data(base.model),
        options.out,
        {name: known[name] for name in options.changes or known},
        options.num_seeds,
        console=console(),
    )
    print_changes(evaluation, Console())
    print(f"report   {options.out / 'report.json'}")
    return 0
