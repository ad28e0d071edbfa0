"""Makes the model that comes with the package from its run: weights in half precision without
training heads, configuration and report; and sets the figures in its card and in docs/scenes.md.

    python recipes/ship.py runs/scenes

docs/scenes.md has the runs before it. Takes some minutes on two cores.
"""

import re
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import stellar
from stellar.cli import main
from stellar.evaluation.evaluators.localisation import agreement_of
from stellar.evaluation.evaluators.reconstruction import likeness
from stellar.evaluation.evaluators.what_where import accuracy
from stellar.evaluation.report.report_json import read_evaluation
from stellar.evaluation.scores import Evaluation
from stellar.model.files.card import CARD
from stellar.model.files.known_models import REPORT, SHIPPED

NAME = "stellar-scenes"
FOLDER = SHIPPED[NAME]
PAGES = (FOLDER / CARD, Path(__file__).parents[1] / "docs/scenes.md")
"""What shows the figures."""
TARGETS = (
    (accuracy("Z", "colour", "kNN"), 0.97),
    (accuracy("Z", "class", "kNN"), 0.85),
    (accuracy("S", "place", "kNN"), None),
    (accuracy("L", "place", "kNN"), 0.95),
    (agreement_of("ARI"), 0.8),
    (likeness("PSNR"), 25.0),
)
"""The least that was wanted; None: no more than chance."""
HEADER = "| on held-out scenes | target | measured | missed by |"


def ship(run: str) -> None:
    """Write a finished run into the package, and judge what was written."""
    model = stellar.load(run)
    if model.history is None or model.history.steps < model.history.total_steps:
        raise SystemExit(
            f"{run} is not finished; go on with: stellar pretrain --resume --out {run}"
        )
    model.half().save_pretrained(FOLDER)
    with TemporaryDirectory() as folder:
        if main(["evaluate", NAME, "--data", "scenes", "--out", folder]) != 0:
            raise SystemExit("the model was written, but not evaluated")
        (FOLDER / REPORT).write_bytes((Path(folder) / REPORT).read_bytes())
    table = figures(read_evaluation(FOLDER / REPORT))
    for page in PAGES:
        old = re.escape(HEADER) + r"\n(\|.*\n)+"
        page.write_text(re.sub(old, lambda _: table, page.read_text()))


def figures(evaluation: Evaluation) -> str:
    """The targets beside what the model's evaluation says, as a table."""
    (model,) = evaluation.models
    lines = [HEADER, "|---|---|---|---|"]
    for quantity, target in TARGETS:
        score = model.score(quantity)
        if score is None:
            raise SystemExit(f"the evaluation lacks {quantity.test}: {quantity.name}")
        value, digits = score.value, ".1f" if quantity.unit else ".2f"
        if target is None:
            chance = score.baseline or 0.0
            wanted, missed = f"{chance:{digits}}, which is chance", value - chance
        else:
            wanted, missed = f"{target:{digits}}", target - value
        short = f"{missed:{digits}}"
        short = short if float(short) > 0 else "reached"
        label = f"{quantity.name}, {quantity.unit}" if quantity.unit else quantity.name
        lines.append(f"| {label} | {wanted} | {value:{digits}} | {short} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python recipes/ship.py RUN")
    ship(sys.argv[1])
