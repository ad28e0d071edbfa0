"""Trainings side by side: variants of one run with the same budget, judged by the same tests.

`compare` sets STELLAR beside its opposites (systems.py); `ablate` takes the objective apart, term
by term, with several seeds each. Runs that are finished are not trained again, nor are those of
`ablate` judged again, so a study that was interrupted goes on.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from rich.console import Console

from stellar.config import ConfigError, EvaluationConfig, RunConfig
from stellar.configfile import read_run_config
from stellar.data import Cutouts, MaskedSplits, Splits
from stellar.errors import Interrupted
from stellar.evaluation.evaluate import evaluate
from stellar.evaluation.page import write_report
from stellar.evaluation.scores import Evaluation, ModelScores, Score
from stellar.evaluation.subject import Progress, silent
from stellar.model import Stellar
from stellar.model.files.history import public_name
from stellar.model.files.saving import fingerprint
from stellar.precision import choose_device
from stellar.reconstruction import sheets_of
from stellar.storage import make_folder, write_file
from stellar.systems import SYSTEMS
from stellar.training import RunError, pretrain, resume
from stellar.training.run_folder import CONFIG, METRICS, read_metrics
from stellar.training.setup import resolved
from stellar.weights import load

Change = Callable[[RunConfig], RunConfig]
EVALUATION = "evaluation.json"
"""Of one run, in its folder."""
TRIAL_STEPS = 12
"""Of a run that only shows how fast a variant trains."""


def compare(
    base: RunConfig,
    data: Splits | MaskedSplits,
    out: Path,
    names: Iterable[str] = tuple(SYSTEMS),
    minutes: float | None = None,
    settings: EvaluationConfig | None = None,
    console: Console | None = None,
    watch: Callable[[], AbstractContextManager[Progress]] = lambda: nullcontext(silent),
) -> Evaluation:
    """Train these systems from `base`, each for its steps, or each for so many minutes; evaluate
    them, and write `out`/report.html and report.json. The decoder on frozen features is the run's
    own with the paper's 6 layers. `watch` is entered while they are evaluated.

    Raises ConfigError for a system that is not known, Interrupted when it was stopped.
    """
    make_folder(out)
    configs = {}
    for name in names:
        if name not in SYSTEMS:
            raise ConfigError(f"a system must be one of {', '.join(SYSTEMS)}, got {name!r}")
        configs[name] = SYSTEMS[name](base)
    if minutes is not None:
        configs = {n: within(c, minutes, out / "runs" / n) for n, c in configs.items()}
    models = {n: trained(c, out / "runs" / n, console) for n, c in configs.items()}
    decoder = replace(base.model.decoder, target="pixels", tokenizer="", depth=6)
    with watch() as progress:
        evaluation = evaluate(models, data, out, settings, progress, decoder)
    budget = ", ".join(f"{n} {c.training.steps:,}" for n, c in configs.items())
    evaluation = _with(evaluation, {"steps": budget, **_trained_on(base, data)})
    write_file(out / "report.json", evaluation.to_json())
    write_report(out / "report.html", evaluation, sheets_of(models, data))
    return evaluation


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
    evaluation = _with(first, {**spread, **_trained_on(base, data)})
    models = tuple(mean_and_spread([run.models[0] for run in runs]) for runs in found)
    evaluation = replace(evaluation, models=models)
    write_file(out / "report.json", evaluation.to_json())
    return evaluation


def trained(config: RunConfig, run: Path, console: Console | None = None) -> Stellar:
    """The model of a finished run in this folder, which is begun or gone on with where needed.

    Raises RunError when it holds a run of another configuration, Interrupted when it was stopped.
    """
    if not (run / CONFIG).is_file():
        result = pretrain(config, run, console=console)
    elif read_run_config(run / CONFIG) == resolved(config):
        result = resume(run, console=console)
    else:
        raise RunError(f"{run} holds a run with other settings; remove it, or choose another --out")
    if not result.finished:
        raise Interrupted("stopped and saved; the same command goes on")
    return load(run, choose_device("auto"))


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
        found = Evaluation.read(file)
        hashes = [one.sha256 for one in found.models]
        same = (hashes, found.data) == ([fingerprint(model)], data.description)
        if same and found.protocol.items() >= settings.protocol.items():
            return found
    found = evaluate({name: model}, data, run, settings)
    write_file(file, found.to_json())
    return found


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


def mean_and_spread(runs: list[ModelScores]) -> ModelScores:
    """One model's numbers over several trainings: those that every one of them has."""
    scores = []
    for score in runs[0].scores:
        same = [run.score(score.test, score.name) for run in runs]
        values = [one.value for one in same if one is not None]
        if len(values) == len(runs):
            scores.append(Score.over_seeds(score.test, score.name, values, score.unit))
    hashes = ", ".join(run.sha256 for run in runs)
    return replace(runs[0], sha256=hashes, scores=tuple(scores))


def _with(evaluation: Evaluation, protocol: Mapping[str, str]) -> Evaluation:
    return replace(evaluation, protocol={**evaluation.protocol, **protocol})


def _trained_on(base: RunConfig, data: Splits | MaskedSplits) -> dict[str, str]:
    """What a reader must know of the pictures that were trained on, without labels."""
    if isinstance(data.test, Cutouts):
        return {"trained on": "scenes that share no pixel with the test set"}
    return {"trained on": f"all pictures of {public_name(base.data)}, without labels; those of the "
            "test set are among them where they lie in it"}  # fmt: skip


def _slug(name: str) -> str:
    return name.replace(" ", "-")
