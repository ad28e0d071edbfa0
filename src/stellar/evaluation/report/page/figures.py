"""The sections of figures: semantics against reconstruction, quality against size, what against
where.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from itertools import chain

from stellar.evaluation.evaluators import classification, frozen_decoder, reconstruction
from stellar.evaluation.evaluators.classification import SHOWN_K, nearest
from stellar.evaluation.evaluators.evaluator import Measure
from stellar.evaluation.evaluators.fewer_tokens import ALL_COUNTS, kept
from stellar.evaluation.evaluators.segmentation import MIOU_Z, quality
from stellar.evaluation.evaluators.size_and_speed import numbers
from stellar.evaluation.evaluators.what_where import S_KNOWS_WHAT, U_KNOWS_WHAT, accuracy
from stellar.evaluation.probes.objects import PROBES
from stellar.evaluation.report.page.svg_scatter import NUM_COLOURS, Axis, Point, scatter
from stellar.evaluation.scores import Evaluation, ModelScores, Quantity, Score

SEMANTICS = (
    classification.TOP_1, classification.MAP, S_KNOWS_WHAT, classification.KNN_S,
    classification.KNN_CLS, MIOU_Z, U_KNOWS_WHAT,
)  # fmt: skip
"""What is understood, the most telling first."""
DRAWING = (frozen_decoder.RFID, frozen_decoder.PSNR, reconstruction.RFID, reconstruction.PSNR)
"""What can be drawn again, the most telling first."""


@dataclass(frozen=True)
class Kept:
    """How good a part of a representation is, beside how many numbers have to be kept for it."""

    letter: str
    """In the figure."""
    quality: Quantity
    size: Quantity

    def of(self, model: ModelScores) -> tuple[Score, Score] | None:
        """Quality and size, where the model has both."""
        quality, size = model.score(self.quality), model.score(self.size)
        return (quality, size) if quality and size else None


QUALITIES = {
    f"kNN top-1, k = {SHOWN_K}, %": (
        Kept("cls", nearest("cls"), numbers("cls")),
        Kept("S", nearest("S"), numbers("S")),
        Kept("U", nearest("U"), numbers("dense")),
        Kept("Z", nearest("U"), numbers("bottleneck")),
    ),
    "class of an object, kNN": (
        Kept("S", accuracy("S", "class", "kNN"), numbers("S")),
        Kept("U", accuracy("U", "class", "kNN"), numbers("dense")),
        Kept("Z", accuracy("U", "class", "kNN"), numbers("bottleneck")),
    ),
    "segmentation, mIoU, %": (
        Kept("S,L", quality("mIoU", "tokens"), numbers("S and L")),
        Kept("U", quality("mIoU", "U"), numbers("dense")),
        Kept("Z", quality("mIoU", "U"), numbers("bottleneck")),
    ),
}
"""Parts of a representation by what they are good for, as their figures call it."""
PARTS = {
    "cls": "one vector", "S": "the tokens", "S,L": "the tokens and their maps",
    "U": "the dense grid of patches", "Z": "what passes a bottleneck",
}  # fmt: skip
"""The letters of those parts, and what they are."""
FEWER = {
    name: tuple(
        Kept(str(count), kept(metric, count), kept("numbers", count)) for count in ALL_COUNTS
    )
    for name, metric in (
        ("drawn again, PSNR, dB", "PSNR"),
        ("classes of pixels from Z, mIoU, %", "mIoU"),
    )
}
"""Z of so many tokens, alike."""


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
    points = [
        Point(x.value, y.value, place, f"{models[place].name}: {x.text}, {y.text}",
              models[place].name, spread=(x.spread or 0.0, y.spread or 0.0))
        for place, x, y in pairs
    ]  # fmt: skip
    figure = scatter(
        points,
        Axis.around(_axis_name(across), _with_spread(x for _, x, _ in pairs),
                    reverse=across.lower_is_better),
        Axis.around(_axis_name(up), _with_spread(y for _, _, y in pairs)),
        better=True,
    )  # fmt: skip
    return (
        "<h2>Semantics against reconstruction</h2>"
        "<p>To understand a picture and to be able to draw it again pull a representation in "
        "different directions: the upper right corner has both.</p>"
        f'<figure class="card wide">{figure}</figure>'
    )


def _with_spread(scores: Iterable[Score]) -> list[float]:
    """Both ends of what each may be, so that an axis has room for them."""
    return [
        end
        for score in scores
        for end in (score.value - (score.spread or 0.0), score.value + (score.spread or 0.0))
    ]


def _shared(models: Sequence[ModelScores], measures: Sequence[Measure]) -> Measure | None:
    """The measure that most models have, the earlier where several do."""
    counts = {m: sum(m.of(model) is not None for model in models) for m in measures}
    best = max(counts, key=counts.__getitem__)
    return best if counts[best] else None


def _axis_name(measure: Measure) -> str:
    return f"{measure.label}, {measure.explained}"


def sizes(evaluation: Evaluation) -> str:
    """How good each part of a representation is, against how many numbers it takes."""
    parts = chain(*QUALITIES.values())
    drawn = {part.letter for part in parts if any(map(part.of, evaluation.models))}
    explained = "; ".join(f"{letter}: {what}" for letter, what in PARTS.items() if letter in drawn)
    return _section(
        evaluation,
        "Quality against size",
        f"How many numbers are kept of an image, and what they are good for. {explained}. "
        "Of several vectors, kNN reads the mean.",
        (_size_figure(evaluation, *named) for named in QUALITIES.items()),
    )


def _section(evaluation: Evaluation, title: str, text: str, figures: Iterable[str]) -> str:
    """Figures side by side below what they show; nothing where all of them are empty."""
    shown = "".join(figures)
    if not shown:
        return ""
    return (
        f'<h2>{title}</h2><p>{text}</p>{legend(evaluation)}<div class="grid figures">{shown}</div>'
    )


def _size_figure(evaluation: Evaluation, name: str, parts: Sequence[Kept]) -> str:
    points = []
    for place, model in enumerate(evaluation.models):
        for part in parts:
            if found := part.of(model):
                score, size = found
                tip = f"{model.name}, {part.letter}: {score.text}, {size.number} numbers"
                points.append(Point(size.value, score.value, place, tip, letter=part.letter))
    if len(points) < 2:
        return ""
    figure = scatter(
        points,
        Axis.around("numbers an image", [p.x for p in points], log=True),
        Axis.around(name, [p.y for p in points]),
        joined=[part.letter for part in parts],
    )
    return f'<figure class="card">{figure}</figure>'


def fewer(evaluation: Evaluation) -> str:
    """How quality falls with the number of tokens that are kept, as curves."""
    return _section(
        evaluation,
        "Quality against the number of tokens",
        "A model encodes with fewer tokens than it has: those that explain most of a picture. "
        "Each point says how many tokens are kept (<code>stellar embed --tokens</code>).",
        (_size_figure(evaluation, *named) for named in FEWER.items()),
    )


def what_where(evaluation: Evaluation) -> str:
    """S and L of each model, by how well they tell an object's class and its place."""
    return _section(
        evaluation,
        "What against where",
        "Up, an object's class is known; right, its place. S belongs into the upper left "
        "corner, L into the lower right; the dense grid U knows both. Dashed: chance.",
        (_what_where_figure(evaluation, probe) for probe in PROBES),
    )


def _what_where_figure(evaluation: Evaluation, probe: str) -> str:
    points, chances = [], (None, None)
    for place, model in enumerate(evaluation.models):
        for letter in ("U", "Z", "S", "L"):
            where = model.score(accuracy(letter, "place", probe))
            what = model.score(accuracy(letter, "class", probe))
            if where and what:
                tip = f"{model.name}, {letter}: class {what.text}, place {where.text}"
                points.append(Point(where.value, what.value, place, tip, letter=letter))
                chances = where.baseline, what.baseline
    if not points:
        return ""
    figure = scatter(
        points,
        Axis("place: where", 0.0, 1.0),
        Axis("class: what", 0.0, 1.0),
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
