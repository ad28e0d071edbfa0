"""The numbers as people read them: their names and digits, and the table in the terminal."""

from collections.abc import Mapping
from dataclasses import dataclass

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from stellar.evaluation.probes import FEATURES, LABELS
from stellar.evaluation.report import SceneReport
from stellar.evaluation.scores import Evaluation, Score


@dataclass(frozen=True)
class Measure:
    """A number of the headline: its name, what it says, and its digits."""

    name: str
    meaning: str
    field: str
    digits: str

    def text(self, report: SceneReport) -> str:
        return format(getattr(report, self.field), self.digits)


HEADLINE = (
    Measure("PSNR, dB", "reconstruction", "psnr", ".1f"),
    Measure("ARI", "argmax of L against the objects' masks", "ari", ".2f"),
    Measure("images/s", "encoding", "images_per_second", ",.0f"),
)


def accuracy_text(accuracy: float) -> str:
    return f"{accuracy:.2f}"


def print_table(columns: Mapping[str, SceneReport], console: Console | None = None) -> None:
    """Print the reports side by side: the headline, then what each feature predicts."""
    table = Table(title="Held-out scenes", title_justify="left", caption_justify="left")
    table.caption = "x to y: share of objects named rightly, kNN / linear"
    table.add_column("")
    for name in columns:
        table.add_column(escape(name), justify="right")
    table.add_column("chance", justify="right", style="dim")
    for measure in HEADLINE:
        table.add_row(measure.name, *(measure.text(report) for report in columns.values()), "")
    for feature in FEATURES:
        table.add_section()
        for label in LABELS:
            cells = [_cell(report, feature, label) for report in columns.values()]
            chances = {_chance(report, label) for report in columns.values()}
            table.add_row(f"{feature} to {label}", *cells, " ".join(sorted(chances)))
    (console or Console()).print(table)


def _cell(report: SceneReport, feature: str, label: str) -> str:
    knn, linear = (report.score(feature, label, probe).accuracy for probe in ("knn", "linear"))
    return f"{accuracy_text(knn)} / {accuracy_text(linear)}"


def _chance(report: SceneReport, label: str) -> str:
    return accuracy_text(report.score("S", label, "knn").chance)


def print_evaluation(evaluation: Evaluation, console: Console | None = None) -> None:
    """Print models side by side: a row for each number, a section for each test."""
    table = Table(title="Test pictures", title_justify="left", caption_justify="left")
    table.caption = evaluation.data
    if evaluation.chance is not None:
        table.caption += f"; always naming the largest class: {evaluation.chance:.1%}"
    table.add_column("")
    for model in evaluation.models:
        table.add_column(escape(model.name), justify="right")
    columns = [{(s.test, s.name): s for s in model.scores} for model in evaluation.models]
    rows = dict.fromkeys(row for column in columns for row in column)
    last = None
    for test, name in rows:
        if test != last:
            table.add_section()
            last = test
        cells = [_score(column.get((test, name))) for column in columns]
        table.add_row(f"{test}: {name}", *cells)
    (console or Console()).print(table)


def _score(score: Score | None) -> str:
    if score is None:
        return "-"
    digits = ",.0f" if score.test == "cost" else ".1f" if score.unit else ".3f"
    spread = "" if score.spread is None else f" ± {score.spread:{digits}}"
    return f"{score.value:{digits}}{spread} {score.unit}".rstrip()
