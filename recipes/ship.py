"""Makes the model that comes with the package from its run: weights in half precision without
training heads, configuration and report; and sets the figures in its card and in docs/models.md.

    python recipes/ship.py runs/scenes

docs/models.md has the two runs before it. Takes some minutes on two cores.
"""

import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import stellar
from stellar.cli import main
from stellar.model.files.card import CARD
from stellar.model.files.locating import SHIPPED

NAME = "stellar-scenes"
FOLDER = SHIPPED[NAME]
REPORT = "report.json"
PAGES = (FOLDER / CARD, Path(__file__).parents[1] / "docs/models.md")
"""What shows the figures."""
TARGETS = (
    ("factorization", "S to material, kNN", 0.85),
    ("factorization", "S to place, kNN", None),
    ("factorization", "L to place, kNN", 0.95),
    ("factorization", "L to digit, kNN", 0.6),
    ("localisation", "ARI", 0.75),
    ("reconstruction", "PSNR", 26.0),
)
"""Test, name and the least that was wanted; None: no more than chance."""
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
        if main(["evaluate", NAME, "--data", "cutouts", "--out", folder]) != 0:
            raise SystemExit("the model was written, but not evaluated")
        report = (Path(folder) / REPORT).read_text()
    (FOLDER / REPORT).write_text(report)
    table = figures(json.loads(report))
    for page in PAGES:
        old = re.escape(HEADER) + r"\n(\|.*\n)+"
        page.write_text(re.sub(old, lambda _: table, page.read_text()))


def figures(report: Mapping[str, Any]) -> str:
    """The targets beside what the report says, as a table."""
    (model,) = report["models"]
    scores = {(score["test"], score["name"]): score for score in model["scores"]}
    lines = [HEADER, "|---|---|---|---|"]
    for test, name, target in TARGETS:
        score = scores[test, name]
        value, digits = score["value"], ".1f" if score["unit"] else ".2f"
        if target is None:
            chance = score["chance"]
            wanted, missed = f"{chance:{digits}}, which is chance", value - chance
        else:
            wanted, missed = f"{target:{digits}}", target - value
        short = f"{missed:{digits}}"
        short = short if float(short) > 0 else "reached"
        label = f"{name}, {score['unit']}" if score["unit"] else name
        lines.append(f"| {label} | {wanted} | {value:{digits}} | {short} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python recipes/ship.py RUN")
    ship(sys.argv[1])
