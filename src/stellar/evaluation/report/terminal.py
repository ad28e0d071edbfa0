"""The numbers in the terminal: models side by side, long lists shortened to what fits a screen."""

import math
from collections.abc import Mapping, Sequence
from textwrap import fill, wrap

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from stellar.evaluation.evaluators import EVALUATORS, HEADLINE, Evaluator
from stellar.evaluation.evaluators.evaluator import Row
from stellar.evaluation.report.names import shortly_named
from stellar.evaluation.scores import Evaluation, ModelScores

LABELS_WIDTH = 26
"""Columns of the terminal that what is measured has at least, where it needs them and has not more
than half of all.
"""
GAP = 2
"""Columns of the terminal before each model, and before what an evaluator measures."""
CHANGES_WIDTH = 18
"""Columns of the terminal that a number with its spread and unit takes."""
NO_BREAK = "\u00a0"
"""A space at which no line is broken."""
Sections = Mapping[Evaluator, Sequence[Row]]
"""The rows that are shown, by what measures them."""


def print_evaluation(evaluation: Evaluation, console: Console | None = None) -> None:
    """Print models side by side, by their short names: the rows of each evaluator that measured
    something; as many tables below each other as the width asks for.
    """
    console, evaluation = console or Console(), shortly_named(evaluation)
    models, sections = evaluation.models, _sections(evaluation.models)
    sizes = f"Test pictures: {evaluation.num_test:,}; training pictures: {evaluation.num_train:,}"
    console.print(sizes, style="table.title", highlight=False)
    room = max(GAP + 1, console.width - min(LABELS_WIDTH, console.width // 2))
    for some in _that_fit(models, sections, room):
        console.print(_side_by_side(some, _sections(some), room // len(some) - GAP), "")
    caption = _caption(evaluation, sections)
    console.print(caption, style="table.caption", markup=False, highlight=False)
    for note in dict.fromkeys(note for model in models for note in model.notes):
        console.print(f"note     {_whose(note, models)}{note}", markup=False, highlight=False)


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


def _sections(models: Sequence[ModelScores]) -> Sections:
    """The rows of every evaluator in which some model has a number."""
    measured = {score.quantity for model in models for score in model.scores}
    rows = {each: [r for r in each.table if measured & {*r.quantities}] for each in EVALUATORS}
    return {evaluator: found for evaluator, found in rows.items() if found}


def _that_fit(
    models: Sequence[ModelScores], sections: Sections, room: int
) -> list[Sequence[ModelScores]]:
    """The models in tables of about the same size, in which each number is in one piece."""
    rows = [row for some in sections.values() for row in some]
    pieces = [number for model in models for row in rows for number in _numbers(model, row)]
    widest = GAP + max(map(len, (*pieces, *(model.name for model in models))))
    num_tables = math.ceil(len(models) / max(1, room // widest))
    size = math.ceil(len(models) / num_tables)
    return [models[start : start + size] for start in range(0, len(models), size)]


def _side_by_side(models: Sequence[ModelScores], sections: Sections, room: int) -> Table:
    """A table in which the numbers of a model have so much room, and labels what these leave."""
    table = Table(box=None, padding=(0, 0, 0, GAP), pad_edge=False)
    table.add_column("")
    for model in models:
        name = "\n".join(wrap(model.name, room))
        table.add_column(escape(name), justify="right", no_wrap=True)
    for evaluator, rows in sections.items():
        table.add_row("")
        table.add_row(Text(evaluator.name, style="bold"))
        for row in rows:
            cells = (_cell(model, row, room) for model in models)
            table.add_row(Padding(Text(_label(row)), (0, 0, 0, GAP)), *cells)
    return table


def _whose(note: str, models: Sequence[ModelScores]) -> str:
    """The models that a note is about, where it is not about all."""
    names = [model.name for model in models if note in model.notes]
    return "" if len(names) == len(models) else f"{', '.join(names)}: "


def _label(row: Row) -> str:
    """What a row measures, and in which unit."""
    unit = row.quantities[0].unit
    return f"{row.label}, {unit}" if unit else row.label


def _cell(model: ModelScores, row: Row, room: int) -> str:
    """A model's numbers in a row, in lines that have so much room; no number is broken."""
    numbers = (number.replace(" ", NO_BREAK) for number in _numbers(model, row))
    return fill(" ".join(numbers), room, break_long_words=False).replace(NO_BREAK, " ")


def _numbers(model: ModelScores, row: Row) -> list[str]:
    """Each with its spread, and with what parts it from the next."""
    scores = (model.score(quantity) for quantity in row.quantities)
    found = [score.without_unit for score in scores if score is not None]
    return [*(f"{number} /" for number in found[:-1]), *found[-1:]] or ["-"]


def _caption(evaluation: Evaluation, sections: Sections) -> str:
    parts = [evaluation.data]
    if evaluation.chance is not None:
        parts.append(f"always naming the largest class: {evaluation.chance:.1%}")
    return "; ".join([*parts, *(each.caption for each in sections if each.caption)])
