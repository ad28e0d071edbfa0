"""The sections of figures: semantics against reconstruction, quality against size, what against
where.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from stellar.evaluation.report.measures import DRAWING, SEMANTICS, Measure, text
from stellar.evaluation.report.page.labels import short_names
from stellar.evaluation.report.page.plot import NUM_COLOURS, Axis, Point, scatter
from stellar.evaluation.scores import Evaluation, ModelScores, Score

PROBES = ("kNN", "linear")


@dataclass(frozen=True)
class Quality:
    """Scores of one test, each beside what has to be kept of an image for it."""

    name: str
    test: str
    kept: tuple[tuple[str, str, str], ...]
    """Letter in the figure, name of the score, and what the cost calls its numbers."""


QUALITIES = (
    Quality("kNN top-1, k = 20, %", "kNN", (
        ("cls", "cls, k = 20", "cls"), ("S", "S, k = 20", "S"), ("U", "U, k = 20", "dense"))),
    Quality("material of an object, kNN", "factorization", (
        ("S", "S to material, kNN", "S"), ("U", "dense to material, kNN", "dense"),
        ("Z", "dense to material, kNN", "bottleneck"))),
    Quality("segmentation, mIoU, %", "segmentation", (
        ("S,L", "mIoU, tokens painted with L", "S and L"), ("U", "mIoU, U", "dense"),
        ("Z", "mIoU, U", "bottleneck"))),
)  # fmt: skip


def balance(evaluation: Evaluation) -> str:
    """A point for each model: what it understands, and how well it draws."""
    models = evaluation.models
    across, up = _shared(models, DRAWING), _shared(models, SEMANTICS)
    if across is None or up is None:
        return ""
    pairs = [(place, x, y) for place, model in enumerate(models)
             if (x := across.of(model)) and (y := up.of(model))]  # fmt: skip
    if len(pairs) < 2:
        return ""
    names = short_names([model.name for model in models])
    points = [
        Point(x.value, y.value, place, f"{models[place].name}: {text(x)}, {text(y)}", names[place],
              spread=(x.spread or 0.0, y.spread or 0.0))
        for place, x, y in pairs
    ]  # fmt: skip
    first_x, first_y = pairs[0][1], pairs[0][2]
    figure = scatter(
        points,
        Axis.around(_axis_name(across, first_x), [x.value for _, x, _ in pairs],
                    reverse=across.lower_is_better),
        Axis.around(_axis_name(up, first_y), [y.value for _, _, y in pairs]),
        better=True,
    )  # fmt: skip
    return (
        "<h2>Semantics against reconstruction</h2>"
        "<p>To understand a picture and to be able to draw it again pull a representation in "
        "different directions: the upper right corner has both.</p>"
        f'<figure class="card wide">{figure}</figure>'
    )


def _shared(models: Sequence[ModelScores], measures: Sequence[Measure]) -> Measure | None:
    """The measure that most models have, the earlier where several do."""
    counts = {m: sum(m.of(model) is not None for model in models) for m in measures}
    best = max(counts, key=counts.__getitem__)
    return best if counts[best] else None


def _axis_name(measure: Measure, score: Score) -> str:
    details = ", ".join(part for part in (score.name, score.unit) if part)
    group = "" if score.test in ("reconstruction", "factorization") else f"{score.test}, "
    return group + details + (" (lower is better)" if measure.lower_is_better else "")


def sizes(evaluation: Evaluation) -> str:
    """How good each part of a representation is, against how many numbers it takes."""
    figures = "".join(_size_figure(evaluation, quality) for quality in QUALITIES)
    if not figures:
        return ""
    return (
        "<h2>Quality against size</h2>"
        "<p>How many numbers are kept of an image, and what they are good for. cls: one vector; "
        "S: the tokens; L: their maps; U: the dense grid of patches; Z: what passes a bottleneck. "
        f"Of S and U, kNN reads the mean.</p>{legend(evaluation)}"
        f'<div class="grid figures">{figures}</div>'
    )


def _size_figure(evaluation: Evaluation, quality: Quality) -> str:
    points = []
    for place, model in enumerate(evaluation.models):
        for letter, name, part in quality.kept:
            score = model.score(quality.test, name)
            size = model.score("cost", f"{part}, numbers an image")
            if score and size:
                tip = f"{model.name}, {letter}: {text(score)}, {size.value:,.0f} numbers"
                points.append(Point(size.value, score.value, place, tip, letter=letter))
    if len(points) < 2:
        return ""
    figure = scatter(
        points,
        Axis.around("numbers an image", [p.x for p in points], log=True),
        Axis.around(quality.name, [p.y for p in points]),
        joined=[letter for letter, _, _ in quality.kept],
    )
    return f'<figure class="card">{figure}</figure>'


def what_where(evaluation: Evaluation) -> str:
    """S and L of each model, by how well they tell an object's material and its place."""
    figures = "".join(_what_where_figure(evaluation, probe) for probe in PROBES)
    if not figures:
        return ""
    return (
        "<h2>What against where</h2>"
        "<p>Up, an object's material is known; right, its place. S belongs into the upper left "
        "corner, L into the lower right; the dense grid U knows both. Dashed: chance.</p>"
        f'{legend(evaluation)}<div class="grid figures">{figures}</div>'
    )


def _what_where_figure(evaluation: Evaluation, probe: str) -> str:
    points, chances = [], (None, None)
    for place, model in enumerate(evaluation.models):
        for letter, feature in (("U", "dense"), ("S", "S"), ("L", "L")):
            where = model.score("factorization", f"{feature} to place, {probe}")
            what = model.score("factorization", f"{feature} to material, {probe}")
            if where and what:
                tip = f"{model.name}, {letter}: material {text(what)}, place {text(where)}"
                points.append(Point(where.value, what.value, place, tip, letter=letter))
                chances = where.chance, what.chance
    if not points:
        return ""
    figure = scatter(
        points,
        Axis("place: where", 0.0, 1.0),
        Axis("material: what", 0.0, 1.0),
        chance=chances,
        joined=("S", "L"),
    )
    return f'<figure class="card"><figcaption>{probe}</figcaption>{figure}</figure>'


def legend(evaluation: Evaluation) -> str:
    """The colours of the models."""
    items = "".join(
        f'<li class="m{place % NUM_COLOURS}"><span>{escape(model.name)}</span></li>'
        for place, model in enumerate(evaluation.models)
    )
    return f'<ul class="legend">{items}</ul>'
