"""The objective taken apart: a run and its changes, with several seeds each."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean

from rich.console import Console

from stellar.config import EvaluationConfig, RunConfig
from stellar.data import MaskedSplits, Splits
from stellar.evaluation.evaluate import evaluate
from stellar.evaluation.report.report_json import read_evaluation, to_json
from stellar.evaluation.scores import Evaluation, ModelScores, Quantity, Score
from stellar.model import Stellar
from stellar.model.files.fingerprint import fingerprint
from stellar.storage import make_folder, write_file
from stellar.study.runs import trained, trained_on, with_protocol

Change = Callable[[RunConfig], RunConfig]
EVALUATION = "evaluation.json"
"""Of one run, in its folder."""


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

    Raises Interrupted when it was stopped.
    """
    settings = settings or EvaluationConfig(num_seeds=1)
    make_folder(out)
    found = []
    for name, change in {"the whole": lambda run: run, **changes}.items():
        runs = []
        for seed in range(num_seeds):
            config = change(replace(base, training=replace(base.training, seed=seed)))
            run = out / "runs" / f"{_slug(name)}-seed-{seed}"
            runs.append(judged(name, trained(config, run, console), data, run, settings))
        found.append(runs)
    first = found[0][0]
    spread = {"spread": f"standard deviation over {num_seeds} trainings"}
    evaluation = with_protocol(first, {**spread, **trained_on(base, data)})
    models = tuple(mean_and_spread([run.models[0] for run in runs]) for runs in found)
    evaluation = replace(evaluation, models=models)
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


def judged(
    name: str,
    model: Stellar,
    data: Splits | MaskedSplits,
    run: Path,
    settings: EvaluationConfig,
) -> Evaluation:
    """The evaluation of a run, kept in its folder: not made again for the same weights, pictures
    and settings. Raises UserError when the one that is kept cannot be read.
    """
    file = run / EVALUATION
    if file.is_file():
        found = read_evaluation(file)
        hashes = [one.sha256 for one in found.models]
        same = (hashes, found.data) == ([fingerprint(model)], data.description)
        if same and found.protocol.items() >= settings.protocol.items():
            return found
    found = evaluate({name: model}, data, run, settings)
    write_file(file, to_json(found))
    return found


def mean_and_spread(runs: list[ModelScores]) -> ModelScores:
    """One model's numbers over several trainings: those that every one of them has."""
    scores = []
    for quantity in (score.quantity for score in runs[0].scores):
        found = [score for run in runs if (score := run.score(quantity)) is not None]
        if len(found) == len(runs):
            scores.append(_over_trainings(quantity, found))
    hashes = ", ".join(run.sha256 for run in runs)
    return replace(runs[0], sha256=hashes, scores=tuple(scores))


def _over_trainings(quantity: Quantity, scores: Sequence[Score]) -> Score:
    """Mean and spread of values, mean of baselines."""
    baselines = [score.baseline for score in scores if score.baseline is not None]
    baseline = fmean(baselines) if len(baselines) == len(scores) else None
    over = Score.over_seeds(quantity, [score.value for score in scores])
    return replace(over, baseline=baseline)


def _slug(name: str) -> str:
    return name.replace(" ", "-")
