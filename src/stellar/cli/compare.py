"""`stellar compare`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from stellar.cli.options import options_of
from stellar.cli.study_options import StudyOptions

DESCRIPTION = """Train STELLAR and its opposites with equal budgets, and set them side by side.

  stellar compare --data scenes
  stellar compare --data photos --test flowers --preset tiny --budget 20min

stellar, slots (slot attention), dino (self-distillation of cls), mae (masked reconstruction), and
dense (STELLAR's objective on a dense bottleneck of as many numbers). Each is trained with several
seeds. Writes OUT/report.html with the plane of semantics against reconstruction, and
OUT/report.json. Called again, it goes on."""


@dataclass(frozen=True)
class Options(StudyOptions):
    """What to train on, for how long, and what to judge by."""

    systems: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="SYSTEM")] = (
        "stellar", "slots", "dino", "mae", "dense",
    )  # fmt: skip
    """Which of them."""
    budget: str | None = None
    """Of each system: steps, as 500, or minutes, as 10min; by default the run's own steps."""
    decoder_steps: int = 500
    """Steps of the decoder that draws from each system's frozen features; 0: none."""
    out: Path = Path("comparison")


def run(arguments: Sequence[str]) -> int:
    options = options_of(Options, "compare", arguments, DESCRIPTION)
    from rich.console import Console

    from stellar.cli.terminal import console, progress_line
    from stellar.config import EvaluationConfig
    from stellar.evaluation.report.terminal import print_evaluation
    from stellar.study.compare import compare
    from stellar.study.systems import require_systems

    options.require_seeds()
    require_systems(options.systems)
    steps, minutes = read_budget(options.budget) if options.budget else (None, None)
    base = options.base(steps)
    evaluation = compare(
        base,
        options.test_data(base.model),
        options.out,
        options.systems,
        minutes,
        options.num_seeds,
        EvaluationConfig(num_seeds=1, decoder_steps=options.decoder_steps),
        console(),
        progress_line,
    )
    print_evaluation(evaluation, Console())
    print(f"report   {options.out / 'report.html'}\n         {options.out / 'report.json'}")
    return 0


def read_budget(text: str) -> tuple[int | None, float | None]:
    """Steps or minutes. Raises UserError for anything else."""
    from stellar.errors import UserError

    try:
        amount = (
            (None, float(text.removesuffix("min"))) if text.endswith("min") else (int(text), None)
        )
    except ValueError:
        amount = (0, None)
    if not 0 < max(part for part in amount if part is not None) < float("inf"):
        raise UserError(f"--budget must be steps, as 500, or minutes, as 10min; got {text!r}")
    return amount
