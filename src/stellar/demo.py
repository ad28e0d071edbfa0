"""The demo: train a small STELLAR on embedded scenes, then show what it learned beside the same
model untrained.

Nothing is downloaded and no GPU is needed: the scenes are cut from photographs that come with
scikit-image and scikit-learn, and every one knows its own truth, so what S and L know can be
measured, not only looked at.
"""

from dataclasses import dataclass, replace
from pathlib import Path

from PIL import Image
from rich.console import Console

from stellar.config import RunConfig
from stellar.configfile import read_run_config
from stellar.data import Cutouts
from stellar.evaluation.page import write_report
from stellar.evaluation.report import SceneReport, evaluate_scenes
from stellar.evaluation.table import print_table
from stellar.model import Stellar
from stellar.presets import demo as demo_preset
from stellar.reconstruction import reconstruct
from stellar.training import RunError, pretrain, resume
from stellar.training.run_folder import CONFIG, METRICS, read_metrics
from stellar.training.setup import build_model
from stellar.weights import load


@dataclass(frozen=True)
class DemoResult:
    """What the demo left."""

    report: Path | None
    """The page; None when training was interrupted."""
    scores: dict[str, SceneReport]


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
    another configuration.
    """
    out, config = Path(out), config or demo_preset()
    run = out / "run"
    if not (run / CONFIG).is_file():
        result = pretrain(config, run, console=console)
    elif read_run_config(run / CONFIG) == config:
        result = resume(run, console=console)
    else:
        raise RunError(
            f"{run} holds a run with other settings; remove {out}, or choose another --out"
        )
    if not result.finished:
        return DemoResult(None, {})
    trained, untrained = load(run), build_model(config).eval()
    scores: dict[str, SceneReport] = {}
    for name, model in (("untrained", untrained), ("trained", trained)):
        if console is not None:
            console.print(f"evaluating the {name} model on {num_scenes:,} held-out scenes")
        scores[name] = evaluate_scenes(model, num_scenes, num_scenes)
    sheets = [(f"Held-out scenes, {name}", scene_sheet(model)) for name, model in
              (("trained", trained), ("untrained", untrained))]  # fmt: skip
    write_report(out / "report.html", scores, read_metrics(run / METRICS), sheets)
    sheets[0][1].save(out / "scenes.png")
    if console is not None:
        print_table(scores, console)
    return DemoResult(out / "report.html", scores)


def scene_sheet(model: Stellar, count: int = 6) -> Image.Image:
    """Held-out scenes through a model."""
    source = Cutouts("heldout", size=model.config.image_size, length=count)
    return reconstruct(model, source, count).sheet


def with_steps(config: RunConfig, steps: int) -> RunConfig:
    """The same run, shorter or longer."""
    return replace(config, training=replace(config.training, steps=steps))
