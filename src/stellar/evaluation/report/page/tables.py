"""The sections of tables: the headline, the matrices of what and where, all numbers of every test,
the published table, and the protocol.
"""

from collections.abc import Iterable, Sequence
from html import escape

from stellar.evaluation.evaluators import EVALUATORS, HEADLINE, Evaluator, Measure
from stellar.evaluation.evaluators.what_where import accuracy
from stellar.evaluation.probes.objects import FEATURES, LABELS, PROBES
from stellar.evaluation.report import paper_results
from stellar.evaluation.report.names import short_names
from stellar.evaluation.scores import Evaluation, ModelScores, Quantity, Score

_KIND_OF_LABEL = {"class": "what", "colour": "what", "place": "where", "size": "extent"}
_DASH = "&ndash;"
_SHORT_TABLE = 4
"""Rows; longer tables are closed until they are asked for."""


def headline(evaluation: Evaluation) -> str:
    """The numbers that matter, models side by side, the best of each row marked."""
    rows = []
    for measure in HEADLINE:
        scores = [measure.of(model) for model in evaluation.models]
        if not any(scores):
            continue
        best = measure.best(scores)
        cells = "".join(
            f"<td{' class=best' if place in best else ''}>{_value(measure, score)}</td>"
            for place, score in enumerate(scores)
        )
        name = f"{escape(measure.label)}{_small(measure.explained)}"
        rows.append(f'<tr><th scope="row">{name}</th>{cells}</tr>')
    return _card(_table("headline", evaluation.models, rows)) if rows else ""


def _value(measure: Measure, score: Score | None) -> str:
    """The number, large; below it its spread, and what it is of where that is second choice."""
    if score is None:
        return f'<span class="none">{_DASH}</span>'
    quantity = score.quantity
    second_choice = "" if quantity == measure.quantities[0] else quantity.feature
    return score.number + _small(score.spread_text) + _small(second_choice)


def matrices(evaluation: Evaluation) -> str:
    """What can be predicted of objects, from each part of each model."""
    found = "".join(_card(matrix) for model in evaluation.models if (matrix := _matrix(model)))
    if not found:
        return ""
    return (
        "<h2>What S and L know</h2>"
        "<p>What can be predicted of an object: from its token S, from that token's map L, from Z "
        "and the dense features U pooled over it, and from the colours under its mask, which need "
        "no model. Numbers are shares of objects named rightly; the shade begins at chance. S "
        "should be strong on the class, above colour alone, and blank on the place, L the "
        f'opposite.</p><div class="grid">{found}</div>'
    )


def _matrix(model: ModelScores) -> str:
    scores = {
        (feature, label, probe): score
        for label in LABELS
        for feature in FEATURES
        for probe in PROBES
        if (score := model.score(accuracy(feature, label, probe)))
    }
    labels = [label for label in LABELS if any(label == asked for _, asked, _ in scores)]
    features = [feature for feature in FEATURES if any(feature == one for one, _, _ in scores)]
    if not labels:
        return ""
    head = "".join(
        f'<th colspan="2" scope="colgroup">{label}<small>{_KIND_OF_LABEL[label]}</small></th>'
        for label in labels
    )
    rows = "".join(
        f'<tr><th scope="row">{feature}</th>'
        + "".join(_cell(scores.get((feature, label, probe)))
                  for label in labels for probe in PROBES)
        + "</tr>"
        for feature in features
    )  # fmt: skip
    chances = {asked: score.baseline for (_, asked, _), score in scores.items()}
    foot = "".join(f'<td colspan="2">{_or_blank(chances[label])}</td>' for label in labels)
    return (
        f'<table class="matrix"><caption>{escape(model.name)}</caption><col class="names">'
        f'<thead><tr><td></td>{head}</tr><tr class="probe"><td></td>'
        f"{''.join(f'<th>{probe}</th>' for _ in labels for probe in PROBES)}</tr></thead>"
        f'<tbody>{rows}</tbody><tfoot><tr><th scope="row">chance</th>{foot}</tr></tfoot></table>'
    )


def _cell(score: Score | None) -> str:
    """A cell as dark as the feature is above chance, 1 for never wrong."""
    if score is None:
        return "<td></td>"
    chance = score.baseline or 0.0
    knows = max(0.0, (score.value - chance) / max(1 - chance, 1e-9))
    strong = ' class="strong"' if knows > 0.6 else ""
    return f'<td{strong} style="--knows:{knows:.3f}">{score.number}</td>'


def _or_blank(chance: float | None) -> str:
    return "" if chance is None else f"{chance:.2f}"


def all_numbers(evaluation: Evaluation) -> str:
    """A table for each test, the long ones closed."""
    tables = "".join(_test(evaluation, evaluator) for evaluator in EVALUATORS)
    return f"<h2>All numbers</h2>{tables}" if tables else ""


def _test(evaluation: Evaluation, evaluator: Evaluator) -> str:
    rows = []
    for quantity in evaluator.quantities:
        scores = [model.score(quantity) for model in evaluation.models]
        if any(scores):
            rows.append(_row(quantity, scores))
    if not rows:
        return ""
    how = evaluation.protocol.get(evaluator.name)
    note = f'<p class="note">{escape(how)}</p>' if how else ""
    body = _table("numbers", evaluation.models, rows)
    count = f"{len(rows)} number{'s' * (len(rows) > 1)}"
    is_open = " open" if len(rows) <= _SHORT_TABLE else ""
    return (
        f'<details class="card"{is_open}><summary>{escape(_title(evaluator.name))}'
        f"<small>{count}</small></summary>{note}{_scroll(body)}</details>"
    )


def _title(name: str) -> str:
    """With a capital, but for names that have one further on, as kNN."""
    return name if name != name.lower() else name[:1].upper() + name[1:]


def _row(quantity: Quantity, scores: Sequence[Score | None]) -> str:
    """What was chosen stands beside the name where it is the same for all, else under each."""
    details = {score.detail for score in scores if score is not None}
    shared = details.pop() if len(details) == 1 else ""
    cells = "".join(
        f"<td>{_DASH}</td>" if score is None else
        f"<td>{score.number} {escape(quantity.unit)}{_small(score.spread_text)}"
        f"{_small(score.baseline_text)}{_small('' if shared else score.detail)}</td>"
        for score in scores
    )  # fmt: skip
    return f'<tr><th scope="row">{escape(quantity.name)}{_small(shared)}</th>{cells}</tr>'


def _small(words: str) -> str:
    return f"<small>{escape(words)}</small>" if words else ""


def published_table() -> str:
    """The paper's numbers, kept apart from what was measured."""
    head = ("model", "tokens", "rFID", "LPIPS", "linear, %", "kNN, %")
    rows = "".join(
        f'<tr><th scope="row">{escape(row.model)}</th><td>{row.tokens}</td>'
        f"<td>{_or_dash(row.rfid, '.2f')}</td><td>{_or_dash(row.lpips, '.4f')}</td>"
        f"<td>{row.linear:.2f}</td><td>{row.knn:.2f}</td></tr>"
        for row in paper_results.TABLE
    )
    table = (
        f'<table class="numbers"><thead><tr>{"".join(f"<th scope=col>{h}</th>" for h in head)}'
        f"</tr></thead><tbody>{rows}</tbody></table>"
    )
    return (
        '<h2>Published</h2><details class="card published"><summary>What the paper reports'
        "<small>published, not measured here</small></summary>"
        f'<p class="note">{paper_results.SOURCE}, on ImageNet-1k: linear probe and kNN top-1; rFID '
        "and LPIPS of a 6-layer decoder on frozen features. Other pictures and other models than "
        f"above: not to be compared with the numbers of this page.</p>{_scroll(table)}</details>"
    )


def _or_dash(value: float | None, digits: str) -> str:
    return _DASH if value is None else format(value, digits)


def protocol(evaluation: Evaluation) -> str:
    """Data, models, and how each number was made."""
    facts = [("data", evaluation.data), ("training pictures", f"{evaluation.num_train:,}"),
             ("test pictures", f"{evaluation.num_test:,}"),
             ("classes", _classes(evaluation.classes))]  # fmt: skip
    if evaluation.chance is not None:
        facts.append(("always naming the largest class", f"{evaluation.chance:.1%}"))
    facts += list(evaluation.protocol.items())
    names = short_names([model.name for model in evaluation.models])
    models = "".join(map(_model, names, evaluation.models))
    return (
        '<h2>How it was measured</h2><div class="protocol">'
        f"{_definitions(facts)}<h3>Models</h3>{models}</div>"
    )


def _model(name: str, model: ModelScores) -> str:
    facts = [("model", model.name), ("sha256", model.sha256),
             ("preprocessing", model.preprocessing),
             ("unreadable pictures", f"{model.num_unreadable:,}"),
             *(("note", note) for note in model.notes)]  # fmt: skip
    return f"<h4>{escape(name)}</h4>{_definitions(facts)}"


def _classes(classes: Sequence[str]) -> str:
    more = f", and {len(classes) - 20} more" if len(classes) > 20 else ""
    return f"{len(classes)}: {', '.join(classes[:20])}{more}"


def _definitions(facts: Iterable[tuple[str, str]]) -> str:
    return "<dl>" + "".join(f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in facts) + "</dl>"


def _table(kind: str, models: Sequence[ModelScores], rows: Sequence[str]) -> str:
    head = "".join(f'<th scope="col">{escape(model.name)}</th>' for model in models)
    return (
        f'<table class="{kind}" style="--models:{len(models)}">'
        f"<thead><tr><td></td>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    )


def _card(content: str) -> str:
    return f'<div class="card">{_scroll(content)}</div>'


def _scroll(content: str) -> str:
    return f'<div class="scroll">{content}</div>'
