"""The demo: train a small STELLAR on embedded scenes, then show what it learned beside the same
model untrained, and beside the one that comes with the package.

Nothing is downloaded and no GPU is needed: the scenes are drawn by the package, and every one knows
its own truth, so what S and L know can be measured, not only looked at.
"""

from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console

from stellar.config import EvaluationConfig, ModelConfig, RunConfig
from stellar.data.embedded import EMBEDDED
from stellar.data.evaluation_data import open_scenes
from stellar.evaluation.evaluate import evaluate
from stellar.evaluation.glance import watching
from stellar.evaluation.report.page import write_report
from stellar.evaluation.report.report_json import to_json
from stellar.evaluation.report.terminal import print_evaluation
from stellar.evaluation.scores import Evaluation
from stellar.load_model import load
from stellar.model import Stellar
from stellar.presets import demo as demo_preset
from stellar.reconstructing import sheets_of
from stellar.storage import at_home, write_file
from stellar.study.runs import trained
from stellar.training.run_folder import METRICS, read_metrics
from stellar.training.setup import build_model

JUDGED = EvaluationConfig(num_seeds=1, num_voting=2000)
"""How the models are judged: in a minute or two."""


@dataclass(frozen=True)
class DemoResult:
    """What the demo left."""

    report: Path
    """The page."""
    evaluation: Evaluation


def demo(
    out: str | Path = "demo",
    config: RunConfig | None = None,
    num_scenes: int = 1000,
    console: Console | None = None,
) -> DemoResult:
    """Train (or go on training) in `out`/run, evaluate on held-out scenes, and write
    `out`/report.html.

    `config` replaces the demo's preset, `num_scenes` is the number of scenes that the probes
    learn from, and of those that they are tried on. Raises RunError when `out` holds a run of
    another configuration, Interrupted when training was stopped.
    """
    out, config = Path(at_home(out)), config or demo_preset()
    run = out / "run"
    models: dict[str, Stellar] = {
        "untrained": build_model(config).eval(),
        "trained": trained(config, run, console, watching(config)),
    }
    shipped = load("stellar-scenes")
    if _same_pictures(shipped.config, config.model):
        models["shipped"] = shipped
    elif console is not None:
        console.print(
            f"stellar-scenes is left out: it was trained on scenes of {shipped.config.image_size} "
            f"px in {shipped.config.in_chans} channels, and these are others"
        )
    data = config.data if config.data in EMBEDDED else "scenes"
    scenes = open_scenes(config.model, num_scenes, num_scenes, data=data)
    if console is not None:
        console.print(f"evaluating {len(models)} models on {num_scenes:,} held-out scenes")
    evaluation = evaluate(models, scenes, out, JUDGED)
    sheets = sheets_of(models, scenes)
    write_file(out / "report.json", to_json(evaluation))
    write_report(out / "report.html", evaluation, sheets, read_metrics(run / METRICS))
    dict(sheets)["trained"].save(out / "scenes.png")
    if console is not None:
        print_evaluation(evaluation, console)
    return DemoResult(out / "report.html", evaluation)


def _same_pictures(one: ModelConfig, other: ModelConfig) -> bool:
    return (one.image_size, one.in_chans) == (other.image_size, other.in_chans)


def with_steps(config: RunConfig, steps: int) -> RunConfig:
    """The same run, shorter or longer."""
    return replace(config, training=replace(config.training, steps=steps))
