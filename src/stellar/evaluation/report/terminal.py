"""The numbers in the terminal: models side by side, long lists shortened to what fits a screen."""

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from stellar.evaluation.report.measures import FROZEN, HEADLINE, text
from stellar.evaluation.scores import Evaluation, ModelScores, Score

SHOWN_NEIGHBOURS = "k = 20"
"""Of all k; the others are in the files."""
NAMES_WIDTH = 16
"""Columns of the terminal that names of numbers have at least."""
VALUE_WIDTH = 16
"""Columns that a number with its spread or unit takes beside names."""
CHANGES_WIDTH = 18
"""Columns of the terminal that a number with its spread and unit takes."""
_PROBES = ("kNN", "linear")


def print_evaluation(evaluation: Evaluation, console: Console | None = None) -> None:
    """Print models side by side: a section for each test. kNN shows one k, and the probes of the
    factorization share a row.
    """
    console = console or Console()
    table = Table(
        title="Test pictures", title_justify="left", caption_justify="left",
        box=None, padding=(0, 2, 0, 0), pad_edge=False,
    )  # fmt: skip
    table.caption = escape(_caption(evaluation))
    rows = [(*row, *_shown_as(*row)) for row in _rows(evaluation)]
    room = console.width - VALUE_WIDTH * len(evaluation.models)
    longest = max((len(label) + 4 for *_, label in rows), default=0)
    table.add_column("", width=max(NAMES_WIDTH, min(room, longest)))
    for model in evaluation.models:
        table.add_column(escape(model.name), justify="right", overflow="fold")
    last = None
    for test, name, heading, label in rows:
        if heading != last:
            table.add_row("")
            table.add_row(Text(heading, style="bold"))
            last = heading
        cells = [_cell(model, test, name) for model in evaluation.models]
        table.add_row(Padding(escape(label), (0, 0, 0, 2)), *cells)
    console.print(table)
    for note in dict.fromkeys(note for model in evaluation.models for note in model.notes):
        console.print(f"note     {note}", markup=False, highlight=False)


def print_changes(evaluation: Evaluation, console: Console | None = None) -> None:
    """Print many variants of one model: a row for each, a column for each number that matters; as
    many tables below each other as the width asks for.
    """
    console = console or Console()
    measures = [m for m in HEADLINE if any(m.of(model) for model in evaluation.models)]
    names = max(len(model.name) for model in evaluation.models)
    at_once = max(1, (console.width - names - 4) // CHANGES_WIDTH)
    for start in range(0, len(measures), at_once):
        some = measures[start : start + at_once]
        table = Table()
        table.add_column("", no_wrap=True)
        for measure in some:
            table.add_column(escape(measure.label), justify="right")
        for model in evaluation.models:
            cells = (measure.of(model) for measure in some)
            table.add_row(escape(model.name), *("-" if c is None else text(c) for c in cells))
        console.print(table)
    console.print(f"{evaluation.data}; {evaluation.protocol['spread']}", markup=False)


def _caption(evaluation: Evaluation) -> str:
    parts = [evaluation.data]
    if evaluation.chance is not None:
        parts.append(f"always naming the largest class: {evaluation.chance:.1%}")
    if any(score.test == "factorization" for m in evaluation.models for score in m.scores):
        parts.append("factorization: share of objects named rightly, kNN / linear")
    return "; ".join(parts)


def _rows(evaluation: Evaluation) -> list[tuple[str, str]]:
    """Test and name of every row, those of a heading together, in the order of the scores."""
    scores = (score for model in evaluation.models for score in model.scores)
    rows = dict.fromkeys(row for row in map(_row_of, scores) if row is not None)
    headings = list(dict.fromkeys(_shown_as(*row)[0] for row in rows))
    return sorted(rows, key=lambda row: headings.index(_shown_as(*row)[0]))


def _shown_as(test: str, name: str) -> tuple[str, str]:
    """The heading that a row stands under, and its name there."""
    label = name.removesuffix(f", {FROZEN}")
    return (test if label == name else f"{test}, {FROZEN}"), label


def _row_of(score: Score) -> tuple[str, str] | None:
    """Test and name of the row that shows a score, if any does."""
    if score.test == "kNN" and not score.name.endswith(SHOWN_NEIGHBOURS):
        return None
    name, _, probe = score.name.rpartition(", ")
    return (score.test, name if probe in _PROBES else score.name)


def _cell(model: ModelScores, test: str, name: str) -> str:
    names = (name, *(f"{name}, {probe}" for probe in _PROBES))
    scores = (model.score(test, each) for each in names)
    return " / ".join(text(score) for score in scores if score is not None) or "-"
