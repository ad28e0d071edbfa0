"""What a test declares, once, beside its code: what it measures and how, and where its numbers are
shown.

The terminal, the page and `report.json` show what is declared, and nothing else.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from stellar.evaluation.scores import ModelScores, Quantity, Score
from stellar.evaluation.subject import Subject


@dataclass(frozen=True)
class Row:
    """A row of the terminal's table; the numbers of several quantities stand side by side."""

    label: str
    quantities: tuple[Quantity, ...]


@dataclass(frozen=True)
class Measure:
    """A number that matters, by which models are compared."""

    label: str
    meaning: str
    quantities: tuple[Quantity, ...]
    """A model is judged by the first that it has."""
    lower_is_better: bool = False

    @property
    def explained(self) -> str:
        """What it means, in which unit, and which way is better."""
        unit = self.quantities[0].unit
        better = "; lower is better" if self.lower_is_better else ""
        return f"{self.meaning}{f', {unit}' if unit else ''}{better}"

    def of(self, model: ModelScores) -> Score | None:
        """The model's score, where it was measured."""
        found = (model.score(quantity) for quantity in self.quantities)
        return next((score for score in found if score is not None), None)

    def best(self, scores: Sequence[Score | None]) -> set[int]:
        """Places of the best of several scores: more than one when they read the same, none when
        there is nothing to compare.
        """
        there = {place: score for place, score in enumerate(scores) if score is not None}
        if len(there) < 2:
            return set()
        choose = min if self.lower_is_better else max
        leader = choose(there.values(), key=lambda score: score.value)
        found = {place for place, score in there.items() if score.number == leader.number}
        return found if len(found) < len(there) else set()


@dataclass(frozen=True)
class Evaluator:
    """A test of a model, and all that it declares."""

    name: str
    protocol: str
    """How its numbers are made, in words."""
    run: Callable[[Subject], Iterator[Score]]
    """Its scores; none where the data or the model has nothing for it."""
    quantities: tuple[Quantity, ...]
    """All that it may measure, in the order in which they are read."""
    rows: tuple[Row, ...] = ()
    """Of the terminal's table; by default one for each quantity."""
    headline: tuple[Measure, ...] = ()
    """Those of its numbers that matter most."""
    caption: str = ""
    """What has to be said below the terminal's table."""

    def scores(self, subject: Subject) -> Iterator[Score]:
        """What it yields for one model, each score of a quantity that is declared."""
        for score in self.run(subject):
            assert score.quantity in self.quantities, f"{self.name} declares no {score.quantity}"
            yield score

    @property
    def table(self) -> tuple[Row, ...]:
        """The rows of the terminal's table."""
        return self.rows or tuple(Row(q.name, (q,)) for q in self.quantities)
