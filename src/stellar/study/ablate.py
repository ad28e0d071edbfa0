"""The objective taken apart: a run and its changes, with several seeds each."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from stellar.config import EvaluationConfig, RunConfig
from stellar.data import MaskedSplits, Splits
from stellar.evaluation.report.report_json import to_json
from stellar.evaluation.scores import Evaluation
from stellar.storage import make_folder, write_file
from stellar.study.trainings import over_trainings

Change = Callable[[RunConfig], RunConfig]
WHOLE = "the whole"
"""Name of the run without a change."""


def ablate(
    base: RunConfig,
    data: Splits | MaskedSplits,
    out: Path,
    changes: Mapping[str, Change],
    num_seeds: int = 3,
    settings: EvaluationConfig | None = None,
    console: Console | None = None,
) -> Evaluation:
    """Train `base` and every change of it with seeds 0, 1, ..., and give mean and spread over them;
    write `out`/report.json.

    Raises RunError when `out` holds runs with other settings, Interrupted when it was stopped.
    """
    make_folder(out)
    configs = {WHOLE: base, **{name: change(base) for name, change in changes.items()}}
    settings = settings or EvaluationConfig(num_seeds=1)
    evaluation, _ = over_trainings(configs, data, out, num_seeds, settings, console)
    write_file(out / "report.json", to_json(evaluation))
    return evaluation


def ablations(base: RunConfig) -> dict[str, Change]:
    """Each term that is on, switched off; 4 to 64 tokens; other temperatures of L."""

    def without(term: str) -> Change:
        return lambda run: replace(run, objective=replace(run.objective, **{f"{term}_weight": 0.0}))

    def with_model(**fields: object) -> Change:
        return lambda run: replace(run, model=replace(run.model, **fields))  # pyright: ignore[reportArgumentType]

    changes = {f"without {term.replace('_', ' ')}": without(term) for term in base.objective.terms}
    for tokens in (4, 8, 16, 32, 64):
        if tokens != base.model.num_sparse_tokens:
            changes[f"{tokens} tokens"] = with_model(num_sparse_tokens=tokens)
    for temperature in (0.02, 0.06, 0.2, None):
        if temperature != base.model.spatial_temperature:
            name = "dot products" if temperature is None else f"temperature {temperature:g}"
            changes[name] = with_model(spatial_temperature=temperature)
    return changes
