"""STELLAR beside its opposites, each with the same budget."""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from stellar.config import ConfigError, EvaluationConfig, RunConfig
from stellar.data import MaskedSplits, Splits
from stellar.evaluation.evaluate import evaluate
from stellar.evaluation.report.page import write_report
from stellar.evaluation.report.report_json import to_json
from stellar.evaluation.scores import Evaluation
from stellar.evaluation.subject import Progress, silent
from stellar.reconstructing import sheets_of
from stellar.storage import make_folder, write_file
from stellar.study.runs import trained, trained_on, with_protocol, within
from stellar.study.systems import SYSTEMS


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
    evaluation = with_protocol(evaluation, {"steps": budget, **trained_on(base, data)})
    write_file(out / "report.json", to_json(evaluation))
    write_report(out / "report.html", evaluation, sheets_of(models, data))
    return evaluation
