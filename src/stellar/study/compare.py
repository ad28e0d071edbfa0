"""STELLAR beside its opposites, each with the same budget."""

from collections.abc import Iterable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from stellar.config import EvaluationConfig, RunConfig
from stellar.config_toml import SETTINGS
from stellar.data import MaskedSplits, Splits
from stellar.evaluation.report.page import write_report
from stellar.evaluation.report.report_json import to_json
from stellar.evaluation.scores import Evaluation
from stellar.evaluation.subject import silent
from stellar.reconstructing import sheets_of
from stellar.storage import make_folder, write_file
from stellar.study.runs import within
from stellar.study.systems import SYSTEMS, require_systems
from stellar.study.trainings import Watch, folder_of, over_trainings
from stellar.training import RunError

BUDGET = "budget.txt"
"""What each system of a comparison was given, in its folder."""


def compare(
    base: RunConfig,
    data: Splits | MaskedSplits,
    out: Path,
    names: Iterable[str] = tuple(SYSTEMS),
    minutes: float | None = None,
    num_seeds: int = 3,
    settings: EvaluationConfig | None = None,
    console: Console | None = None,
    watch: Watch = lambda: nullcontext(silent),
) -> Evaluation:
    """Train these systems from `base` with seeds 0, 1, ..., each for its steps, or each for so many
    minutes; give mean and spread over the trainings, and write `out`/report.html and report.json.
    The decoder on frozen features is the run's own with the paper's 6 layers. `watch` is entered
    while they are evaluated.

    Raises ConfigError for a system that is not known, RunError when `out` holds runs of another
    budget or with other settings, Interrupted when it was stopped.
    """
    names = tuple(names)
    require_systems(names)
    make_folder(out)
    configs = {name: SYSTEMS[name](base) for name in names}
    _require_same_budget(out, base.training.length, minutes)
    if minutes is not None:
        configs = {n: within(c, minutes, folder_of(out, n, 0)) for n, c in configs.items()}
    decoder = replace(base.model.decoder, target="pixels", tokenizer="", depth=6)
    settings = settings or EvaluationConfig(num_seeds=1)
    evaluation, models = over_trainings(
        configs, data, out, num_seeds, settings, console, decoder, watch
    )
    write_file(out / "report.json", to_json(evaluation))
    write_report(out / "report.html", evaluation, sheets_of(models, data))
    return evaluation


def _require_same_budget(out: Path, length: str, minutes: float | None) -> None:
    """Write down what is asked. Raises RunError when runs that are there had another budget: they
    would keep their steps beside those of this one. Runs of which none is written are from before
    it was; their steps tell whether they had as many as are asked, but not how many minutes.
    """
    file, asked = out / BUDGET, length if minutes is None else f"{minutes:g} minutes"
    begun = asked if minutes is None else "an unknown budget"
    if file.is_file():
        begun = file.read_text(encoding="utf-8")
    if begun != asked and any(out.glob(f"runs/*/{SETTINGS}")):
        raise RunError(
            f"{out} holds runs of {begun}, and {asked} are asked; remove it, or choose another "
            "--out"
        )
    write_file(file, asked)
