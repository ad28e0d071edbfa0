"""Several trainings of each of some runs, judged alike: mean and spread over their seeds."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from itertools import product
from pathlib import Path
from statistics import fmean

from rich.console import Console

from stellar.config import DecoderConfig, EvaluationConfig, RunConfig
from stellar.data import MaskedSplits, Splits
from stellar.errors import MissingPackage
from stellar.evaluation.evaluate import evaluate, fingerprint_of
from stellar.evaluation.metrics import inception, lpips
from stellar.evaluation.report.report_json import read_evaluation, to_json
from stellar.evaluation.scores import Evaluation, ModelScores, Quantity, Score
from stellar.evaluation.subject import Progress, silent
from stellar.model import Stellar
from stellar.model.files.fingerprint import fingerprint
from stellar.model.files.strict_loading import WeightsError
from stellar.storage import write_file
from stellar.study.runs import require_same_settings, trained, trained_on

Watch = Callable[[], AbstractContextManager[Progress]]
"""Entered while models are evaluated."""
EVALUATION = "evaluation.json"
"""Of one run, in its folder."""


def over_trainings(
    configs: Mapping[str, RunConfig],
    data: Splits | MaskedSplits,
    out: Path,
    num_seeds: int,
    settings: EvaluationConfig,
    console: Console | None = None,
    decoder: DecoderConfig | None = None,
    watch: Watch = lambda: nullcontext(silent),
) -> tuple[Evaluation, dict[str, Stellar]]:
    """Train each run with seeds 0, 1, ... in a folder of `out`, and judge it: mean and spread over
    its trainings, and the model of its first one. `decoder` is that of `evaluate`.

    Raises RunError, before anything is trained, when `out` holds runs with other settings;
    Interrupted when it was stopped.
    """
    spread = {"spread": f"standard deviation over {num_seeds} trainings"} if num_seeds > 1 else {}
    said = {
        **spread,
        "trained for": ", ".join(f"{name} {run.training.length}" for name, run in configs.items()),
        **trained_on(next(iter(configs.values())), data),
    }
    trainings = [
        (name, with_seed(config, seed), folder_of(out, name, seed))
        for seed, (name, config) in product(range(num_seeds), configs.items())
    ]
    for _, config, run in trainings:
        require_same_settings(config, run, out)
    found: dict[str, list[Evaluation]] = {name: [] for name in configs}
    first: dict[str, Stellar] = {}
    for name, config, run in trainings:
        model = trained(config, run, console)
        first.setdefault(name, model)
        with watch() as progress:
            found[name].append(judged(name, model, data, run, settings, progress, decoder))
    evaluation = next(iter(found.values()))[0]
    tests = {test: how for runs in found.values() for test, how in runs[0].protocol.items()}
    models = tuple(mean_and_spread([run.models[0] for run in runs]) for runs in found.values())
    return replace(evaluation, protocol={**tests, **said}, models=models), first


def with_seed(config: RunConfig, seed: int) -> RunConfig:
    """The same run from another seed."""
    return replace(config, training=replace(config.training, seed=seed))


def folder_of(out: Path, name: str, seed: int) -> Path:
    """Where a training lies."""
    return out / "runs" / f"{name.replace(' ', '-')}-seed-{seed}"


def judged(
    name: str,
    model: Stellar,
    data: Splits | MaskedSplits,
    run: Path,
    settings: EvaluationConfig,
    progress: Progress = silent,
    decoder: DecoderConfig | None = None,
) -> Evaluation:
    """The evaluation of a run, kept in its folder: not made again where it answers what is asked
    of these weights and pictures. Raises UserError when the one that is kept cannot be read.
    """
    file, asked = run / EVALUATION, asked_of(settings, decoder)
    if file.is_file():
        found = read_evaluation(file)
        hashes = [one.sha256 for one in found.models]
        wanted = ([fingerprint(model)], fingerprint_of(data), asked)
        if (hashes, found.fingerprint, found.asked) == wanted:
            return found
    found = replace(evaluate({name: model}, data, run, settings, progress, decoder), asked=asked)
    write_file(file, to_json(found))
    return found


def asked_of(settings: EvaluationConfig, decoder: DecoderConfig | None) -> str:
    """Tells settings, decoders and versions of stellar apart, and the weights of metrics that are
    there: an evaluation from before they were lacks what they measure.
    """
    from stellar import __version__

    sizes = []
    for find_weights in (lpips.find_weights, inception.find_weights):
        try:
            sizes.append([file.stat().st_size for file in find_weights(settings.metric_weights)])
        except (MissingPackage, WeightsError):
            sizes.append([])
    return hashlib.sha256(repr((__version__, settings, decoder, sizes)).encode()).hexdigest()


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
    """Mean and spread of values, mean of baselines, and what is said of every one of them."""
    details = {score.detail for score in scores}
    baselines = [score.baseline for score in scores if score.baseline is not None]
    baseline = fmean(baselines) if len(baselines) == len(scores) else None
    detail = details.pop() if len(details) == 1 else ""
    over = Score.over_seeds(quantity, [score.value for score in scores], detail)
    # What no training changes, as what is known without a model, has no spread over trainings.
    return replace(over, baseline=baseline, spread=over.spread or None)
