"""`stellar evaluate`."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from stellar.cli.options import options_of
from stellar.config import EvaluationConfig

DESCRIPTION = """Compare what models know of pictures with labels or masks, what they draw, and what
they cost.

  stellar evaluate runs/photos facebook/dinov2-base --data flowers
  stellar evaluate stellar-scenes --data scenes

DATA is a folder with a folder for each class, a CSV file, images/ and masks/, a published data set,
or `scenes`; docs/data.md shows the trees. Prints a table, and writes OUT/report.html, a page to
look at, and OUT/report.json."""


@dataclass(frozen=True)
class Options:
    """Which models, on what, and where to."""

    models: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="MODEL")]
    """Names (stellar-scenes, stellar-b16), runs, weights; backbones: hub ids, folders, files."""
    data: str
    """Pictures with labels or masks: a folder, a CSV file, or scenes."""
    out: Path = Path("evaluation")
    """Folder for report.html and report.json; it also holds the features while it runs."""
    settings: tyro.conf.OmitArgPrefixes[EvaluationConfig] = field(
        default_factory=lambda: EvaluationConfig(num_workers=2)
    )
    device: str = "auto"
    """auto, cpu or cuda."""


def run(arguments: Sequence[str]) -> int:
    options = options_of(Options, "evaluate", arguments, DESCRIPTION)
    from rich.console import Console

    from stellar.cli.terminal import progress_line
    from stellar.data.evaluation_data import open_data
    from stellar.errors import UserError
    from stellar.evaluation.evaluate import evaluate
    from stellar.evaluation.report.page import write_report
    from stellar.evaluation.report.report_json import to_json
    from stellar.evaluation.report.terminal import print_evaluation
    from stellar.load_model import load_any
    from stellar.precision import choose_device
    from stellar.reconstructing import sheets_of
    from stellar.storage import at_home, results_folder, write_file

    if not options.models:
        raise UserError("evaluate needs a model: stellar evaluate MODEL... --data FOLDER")
    data = at_home(options.data)
    device = choose_device(options.device)
    models = {name: load_any(name, device) for name in options.models}
    channels = {model.config.in_chans for model in models.values()}
    if len(channels) > 1:
        raise UserError(
            f"the models take pictures of {sorted(channels)} channels; compare models of one kind"
        )
    largest = max((model.config for model in models.values()), key=lambda c: c.image_size)
    published = options.settings.protocol == "published"
    splits = open_data(data, largest, raw_labels=published)
    with results_folder(options.out):
        with progress_line() as progress:
            result = evaluate(models, splits, options.out, options.settings, progress)
        write_file(options.out / "report.json", to_json(result))
        write_report(options.out / "report.html", result, sheets_of(models, splits))
    print_evaluation(result, Console())
    print(f"report   {options.out / 'report.html'}\nnumbers  {options.out / 'report.json'}")
    return 0
