"""The numbers in the terminal: models side by side, long lists shortened to what fits a screen."""

from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from stellar.evaluation.evaluators import EVALUATORS, HEADLINE, Evaluator
from stellar.evaluation.evaluators.evaluator import Row
from stellar.evaluation.report.names import shortly_named
from stellar.evaluation.scores import Evaluation, ModelScores

NAMES_WIDTH = 16
"""Columns of the terminal that names of numbers have at least."""
VALUE_WIDTH = 16
"""Columns that a number with its spread or unit takes beside names."""
CHANGES_WIDTH = 18
"""Columns of the terminal that a number with its spread and unit takes."""


def print_evaluation(evaluation: Evaluation, console: Console | None = None) -> None:
    """Print models side by side, by their short names: the rows of each evaluator that measured
    something.
    """
    console, evaluation = console or Console(), shortly_named(evaluation)
    table = Table(
        title=f"Test pictures: {evaluation.num_test:,}; training pictures: "
        f"{evaluation.num_train:,}", title_justify="left", caption_justify="left",
        box=None, padding=(0, 2, 0, 0), pad_edge=False,
    )  # fmt: skip
    sections = _sections(evaluation)
    table.caption = escape(_caption(evaluation, sections))
    room = console.width - VALUE_WIDTH * len(evaluation.models)
    labels = [f"  {row.label}" for rows in sections.values() for row in rows]
    longest = max(
        (len(name) + 2 for name in (*labels, *(each.name for each in sections))), default=0
    )
    table.add_column("", width=max(NAMES_WIDTH, min(room, longest)))
    for model in evaluation.models:
        table.add_column(escape(model.name), justify="right", overflow="fold")
    for evaluator, rows in sections.items():
        table.add_row("")
        table.add_row(Text(evaluator.name, style="bold"))
        for row in rows:
            cells = [_cell(model, row) for model in evaluation.models]
            table.add_row(Padding(escape(row.label), (0, 0, 0, 2)), *cells)
    console.print(table)
    for note in dict.fromkeys(note for model in evaluation.models for note in model.notes):
        whose = _whose(note, evaluation.models)
        console.print(f"note     {whose}{note}", markup=False, highlight=False)


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
            table.add_row(escape(model.name), *("-" if c is None else c.text for c in cells))
        console.print(table)
    spread = evaluation.protocol.get("spread")
    console.print(f"{evaluation.data}; {spread}" if spread else evaluation.data, markup=False)


def _sections(evaluation: Evaluation) -> dict[Evaluator, list[Row]]:
    """The rows of every evaluator in which some model has a number."""
    measured = {score.quantity for model in evaluation.models for score in model.scores}
    rows = {each: [r for r in each.table if measured & {*r.quantities}] for each in EVALUATORS}
    return {evaluator: found for evaluator, found in rows.items() if found}


def _whose(note: str, models: Sequence[ModelScores]) -> str:
    """The models that a note is about, where it is not about all."""
    names = [model.name for model in models if note in model.notes]
    return "" if len(names) == len(models) else f"{', '.join(names)}: "


def _cell(model: ModelScores, row: Row) -> str:
    scores = (model.score(quantity) for quantity in row.quantities)
    return " / ".join(score.text for score in scores if score is not None) or "-"


def _caption(evaluation: Evaluation, sections: dict[Evaluator, list[Row]]) -> str:
    parts = [evaluation.data]
    if evaluation.chance is not None:
        parts.append(f"always naming the largest class: {evaluation.chance:.1%}")
    return "; ".join([*parts, *(each.caption for each in sections if each.caption)])
