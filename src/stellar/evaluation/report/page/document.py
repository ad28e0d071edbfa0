"""The whole page, complete in itself: nothing is loaded from anywhere. A section is there when
scores of its test are.
"""

import base64
from collections.abc import Mapping, Sequence
from html import escape
from io import BytesIO
from pathlib import Path

from PIL import Image

from stellar.evaluation.report.names import shortly_named
from stellar.evaluation.report.page.curves import metric_curves
from stellar.evaluation.report.page.figures import balance, fewer, sizes, what_where
from stellar.evaluation.report.page.tables import (
    all_numbers,
    headline,
    matrices,
    protocol,
    published_table,
)
from stellar.evaluation.scores import Evaluation
from stellar.storage import write_file
from stellar.styles import style_of

Sheets = Sequence[tuple[str, Image.Image]]
"""Captions and pictures."""
Rows = Sequence[Mapping[str, object]]
"""Metrics of a training run, each with its `step`."""


def write_report(
    path: Path, evaluation: Evaluation, sheets: Sheets = (), curves: Rows = ()
) -> None:
    """Write the page; the file appears whole or not at all."""
    write_file(path, render_page(evaluation, sheets, curves))


def render_page(evaluation: Evaluation, sheets: Sheets = (), curves: Rows = ()) -> str:
    """The page as HTML. Models bear their short names everywhere; how it was measured has both."""
    style = style_of("stellar.evaluation.report.page")
    shown = shortly_named(evaluation)
    models = zip(evaluation.models, shown.models, strict=True)
    names = {model.name: short.name for model, short in models}
    sections = [
        headline(shown),
        balance(shown),
        sizes(shown),
        fewer(shown),
        matrices(shown),
        what_where(shown),
        all_numbers(shown),
        _pictures([(names.get(caption, caption), picture) for caption, picture in sheets]),
        _curves(curves),
        published_table(),
        protocol(evaluation),
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>What, where, and back again</title>\n<style>\n{style}</style></head>\n<body><main>"
        f'\n<h1>What, where, and back again</h1>\n<p class="lead">{_lead(evaluation)}</p>\n'
        + "\n".join(section for section in sections if section)
        + "\n</main></body></html>\n"
    )


def _lead(evaluation: Evaluation) -> str:
    count = len(evaluation.models)
    return (
        f"What {'a model knows' if count == 1 else f'{count} models know'} of "
        f"{evaluation.num_test:,} test pictures, whether <em>what</em> and <em>where</em> are kept "
        "apart, and how well the pictures can be drawn again."
    )


def _pictures(sheets: Sheets) -> str:
    if not sheets:
        return ""
    figures = "".join(
        f'<figure class="sheet"><figcaption>{escape(caption)}</figcaption>'
        f'<div class="scroll"><img alt="{escape(caption)}" width="{picture.width}" '
        f'height="{picture.height}" src="data:image/webp;base64,{_webp(picture)}"></div></figure>'
        for caption, picture in sheets
    )
    return f'<h2>Pictures</h2><div class="sheets">{figures}</div>'


def _webp(picture: Image.Image) -> str:
    buffer = BytesIO()
    picture.save(buffer, format="WEBP", quality=90)
    return base64.b64encode(buffer.getvalue()).decode("ascii")


def _curves(rows: Rows) -> str:
    figures = "".join(metric_curves(rows))
    if not figures:
        return ""
    return f'<h2>The training run</h2><div class="curves">{figures}</div>'
