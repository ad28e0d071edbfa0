"""The demo: train a small STELLAR on embedded scenes, then show what it learned beside the same
model untrained, and beside the one that comes with the package.

Nothing is downloaded and no GPU is needed: the scenes are drawn by the package, and every one knows
its own truth, so what S and L know can be measured, not only looked at.
"""

from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console

from stellar.config import EvaluationConfig, RunConfig, check_count
from stellar.config_toml import SETTINGS
from stellar.data.embedded import EMBEDDED
from stellar.data.evaluation_data import open_scenes
from stellar.data.labelled import MaskedSplits
from stellar.evaluation.evaluate import evaluate
from stellar.evaluation.evaluators.size_and_speed import ENCODING
from stellar.evaluation.glance import watching
from stellar.evaluation.report.page import write_report
from stellar.evaluation.report.report_json import read_evaluation, to_json
from stellar.evaluation.report.terminal import print_evaluation
from stellar.evaluation.scores import Evaluation, ModelScores
from stellar.load_model import load
from stellar.model import Stellar
from stellar.model.files.fingerprint import fingerprint
from stellar.model.files.known_models import REPORT, SHIPPED
from stellar.presets import demo as demo_preset
from stellar.reconstructing import sheets_of
from stellar.storage import at_home, place_file, write_file
from stellar.study.runs import trained
from stellar.training.run_folder import METRICS, RunError, read_metrics
from stellar.training.setup import build_model

JUDGED = EvaluationConfig(num_seeds=1, num_voting=2000, num_drawn=250)
"""How the models of the demo are judged: in a minute or two."""
SHIPPED_MODEL = "stellar-scenes"


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
    `out`/report.html. The shipped model is judged on the scenes as large as it takes them.

    `config` replaces the demo's preset, `num_scenes` is the number of scenes that the probes
    learn from, and of those that they are tried on. Raises RunError when `out` holds a run of
    another configuration or no demo, Interrupted when training was stopped.
    """
    check_count(num_scenes, "num_scenes")
    out, config = Path(at_home(out)), config or demo_preset()
    run = out / "run"
    _require_own(out, run)
    say = console.print if console is not None else lambda _: None
    models: dict[str, Stellar] = {
        "untrained": build_model(config).eval(),
        "trained": trained(config, run, console, watching(config)),
    }
    data = config.data if config.data in EMBEDDED else "scenes"
    scenes = open_scenes(config.model, num_scenes, num_scenes, data=data)
    say(f"evaluating {len(models)} models on {num_scenes:,} held-out scenes")
    evaluation = evaluate(models, scenes, out, JUDGED)
    shipped = load(SHIPPED_MODEL)
    its_scenes = open_scenes(shipped.config, num_scenes, num_scenes, data=data)
    reported = scores_of_report(shipped, its_scenes)
    if reported is None:
        say(f"evaluating {SHIPPED_MODEL} too, as its own report is of other scenes")
        (reported,) = evaluate({"shipped": shipped}, its_scenes, out, JUDGED).models
    if its_scenes.description != scenes.description:
        reported = replace(reported, notes=(*reported.notes, f"judged on {its_scenes.description}"))
    evaluation = replace(evaluation, models=(*evaluation.models, reported))
    sheets = sheets_of(models, scenes) + sheets_of({"shipped": shipped}, its_scenes)
    write_file(out / "report.json", to_json(evaluation))
    write_report(out / "report.html", evaluation, sheets, read_metrics(run / METRICS))
    for name, sheet in sheets:
        if name == "trained":  # where it draws
            place_file(out / "scenes.png", sheet.save)
    if console is not None:
        print_evaluation(evaluation, console)
    return DemoResult(out / "report.html", evaluation)


def _require_own(out: Path, run: Path) -> None:
    """Raises RunError for a folder that holds anything else than a demo, such as pictures."""
    if not out.is_dir() or (run / SETTINGS).exists():
        return
    if any(file != run and not file.name.startswith(".") for file in out.iterdir()):
        raise RunError(f"{out} exists and is not a demo; choose another --out")


def scores_of_report(model: Stellar, scenes: MaskedSplits) -> ModelScores | None:
    """What the report that comes with the shipped model says of it, where it is of these weights
    and these scenes; without the speed, which is another machine's. Judging it again would take
    longer than what the demo trained.
    """
    report = read_evaluation(SHIPPED[SHIPPED_MODEL] / REPORT)
    (found,) = report.models
    of_these = (scenes.description, len(scenes.train), len(scenes.test), fingerprint(model))
    if (report.data, report.num_train, report.num_test, found.sha256) != of_these:
        return None
    note = (
        f"from the report that comes with {SHIPPED_MODEL}, by `stellar evaluate {SHIPPED_MODEL} "
        f"--data scenes`: {report.protocol['drawn']} drawn, seeds {report.protocol['seeds']}, "
        f"{report.protocol['voting']}"
    )
    scores = tuple(score for score in found.scores if score.quantity != ENCODING)
    return replace(found, name="shipped", scores=scores, notes=(*found.notes, note))
