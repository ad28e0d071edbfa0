"""The report as one page: tables, figures and pictures in one HTML file, complete in itself."""

import base64
from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from io import BytesIO
from pathlib import Path

from PIL import Image

from stellar.evaluation.figures import metric_curves, what_where_plane
from stellar.evaluation.knn import TEMPERATURE
from stellar.evaluation.probes import FEATURES, LABELS, NUM_NEIGHBOURS, Probe
from stellar.evaluation.report import SceneReport
from stellar.evaluation.table import HEADLINE, accuracy_text
from stellar.storage import write_file

_PROBES: dict[Probe, str] = {"knn": "kNN", "linear": "linear"}
_KIND_OF_LABEL = {"material": "what", "place": "where", "digit": "shape"}
_PROTOCOL = {
    "probes learn from": "{r.num_train_objects:,} objects in {r.num_train_scenes:,} train scenes",
    "all numbers are of": "{r.num_heldout_objects:,} objects in {r.num_heldout_scenes:,} held-out",
    "seed of the scenes": "{r.seed}",
    "image and patch": "{r.image_size} px, {r.patch_size} px",
    "tokens": "{r.num_sparse_tokens}",
    "parameters": "{r.num_parameters:,}",
    "speed measured on": "{r.device}",
}
"""Names and texts of the small print; r is the report."""


def write_report(
    path: Path,
    columns: Mapping[str, SceneReport],
    curves: Sequence[Mapping[str, object]] = (),
    sheets: Sequence[tuple[str, Image.Image]] = (),
) -> None:
    """Write the page: models side by side, a run's metrics (rows with `step`), captioned pictures.

    The file appears whole or not at all.
    """
    write_file(path, render_page(columns, curves, sheets))


def render_page(
    columns: Mapping[str, SceneReport],
    curves: Sequence[Mapping[str, object]],
    sheets: Sequence[tuple[str, Image.Image]],
) -> str:
    """The whole page as HTML."""
    style = files("stellar.evaluation").joinpath("page.css").read_text(encoding="utf-8")
    sections = [
        _headline(columns),
        _matrices(columns),
        _planes(columns),
        _pictures(sheets),
        _curves(curves),
        _protocol(columns),
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>STELLAR: what and where</title>\n<style>\n{style}</style></head>\n<body><main>\n"
        "<h1>What is in the picture, and where</h1>\n"
        '<p class="lead">STELLAR factorizes the patch features of an image, Z = L S. A few '
        "tokens S should say <em>what</em> is there and forget where; their maps L should say "
        "<em>where</em> and nothing else; together they should still draw the image. Here is how "
        "far that holds.</p>\n"
        + "\n".join(section for section in sections if section)
        + "\n</main></body></html>\n"
    )


def _headline(columns: Mapping[str, SceneReport]) -> str:
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in columns)
    rows = "".join(
        f'<tr><th scope="row">{measure.name}<small>{measure.meaning}</small></th>'
        + "".join(f"<td>{measure.text(report)}</td>" for report in columns.values())
        + "</tr>"
        for measure in HEADLINE
    )
    return (
        '<div class="card"><table class="headline"><col class="names">'
        f"<thead><tr><td></td>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _matrices(columns: Mapping[str, SceneReport]) -> str:
    matrices = "".join(
        f'<div class="card">{_matrix(name, report)}</div>' for name, report in columns.items()
    )
    return (
        "<h2>What S and L know</h2>"
        "<p>What can be predicted of an object from its token S, from that token's map L, and from "
        "the dense features pooled over the object: the share of objects named rightly. The colour "
        "begins at chance. S should be strong on the material and blank on the place, L the "
        "opposite.</p>"
        f'<div class="grid">{matrices}</div>'
    )


def _matrix(name: str, report: SceneReport) -> str:
    labels = "".join(
        f'<th colspan="2" scope="colgroup">{label}<small>{_KIND_OF_LABEL[label]}</small></th>'
        for label in LABELS
    )
    probes = "".join(f"<th>{text}</th>" for _ in LABELS for text in _PROBES.values())
    rows = "".join(
        f'<tr><th scope="row" class="feature-{feature}">{feature}</th>'
        + "".join(_cell(report, feature, label, probe) for label in LABELS for probe in _PROBES)
        + "</tr>"
        for feature in FEATURES
    )
    chances = "".join(
        f'<td colspan="2">{accuracy_text(report.score("S", label, "knn").chance)}</td>'
        for label in LABELS
    )
    return (
        f'<table class="matrix"><caption>{escape(name)}</caption><col class="names">'
        f'<thead><tr><td></td>{labels}</tr><tr class="probe"><td></td>{probes}</tr></thead>'
        f'<tbody>{rows}</tbody><tfoot><tr><th scope="row">chance</th>{chances}</tr></tfoot></table>'
    )


def _cell(report: SceneReport, feature: str, label: str, probe: Probe) -> str:
    """A cell as dark as the feature is above chance, 1 for never wrong."""
    score = report.score(feature, label, probe)
    knows = max(0.0, (score.accuracy - score.chance) / max(1 - score.chance, 1e-9))
    strong = ' class="strong"' if knows > 0.8 else ""
    return f'<td{strong} style="--knows:{knows:.3f}">{accuracy_text(score.accuracy)}</td>'


def _planes(columns: Mapping[str, SceneReport]) -> str:
    figures = "".join(
        f'<figure class="card"><figcaption>{text}</figcaption>'
        f"{what_where_plane(columns, probe)}</figure>"
        for probe, text in _PROBES.items()
    )
    *before, last = (escape(name) for name in columns)
    filled = f"Filled: {last}. " + (f"Rings: {', '.join(before)}. " if before else "")
    return (
        "<h2>The same as a plane</h2>"
        f"<p>Up, the object's material is known; right, its place. {filled}Dashed: chance.</p>"
        f'<div class="grid planes">{figures}</div>'
    )


def _pictures(sheets: Sequence[tuple[str, Image.Image]]) -> str:
    if not sheets:
        return ""
    figures = "".join(
        f'<figure class="sheet"><figcaption>{escape(caption)}</figcaption>'
        f'<div><img alt="{escape(caption)}" width="{picture.width}" height="{picture.height}" '
        f'src="data:image/png;base64,{_png(picture)}"></div></figure>'
        for caption, picture in sheets
    )
    return f"<h2>Pictures</h2>{figures}"


def _png(picture: Image.Image) -> str:
    buffer = BytesIO()
    picture.save(buffer, format="PNG")
    return base64.b64encode(buffer.getvalue()).decode("ascii")


def _curves(rows: Sequence[Mapping[str, object]]) -> str:
    figures = "".join(metric_curves(rows))
    if not figures:
        return ""
    return f'<h2>The training run</h2><div class="curves">{figures}</div>'


def _protocol(columns: Mapping[str, SceneReport]) -> str:
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in columns)
    rows = "".join(
        f'<tr><th scope="row">{name}</th>'
        + "".join(f"<td>{escape(text.format(r=report))}</td>" for report in columns.values())
        + "</tr>"
        for name, text in _PROTOCOL.items()
    )
    fewest = min(report.num_heldout_objects for report in columns.values())
    return (
        '<h2>How it was measured</h2><div class="protocol">'
        f"<table><thead><tr><td></td>{head}</tr></thead><tbody>{rows}</tbody></table>"
        "<p>An object's token is the one with the largest L over the object's visible pixels. "
        f"kNN: {NUM_NEIGHBOURS} neighbours by cosine, weight exp(cosine / {TEMPERATURE}). "
        "Linear: logistic regression on standardised features, its penalty chosen on a fifth of "
        "the train objects. L enters as the map itself. Chance: the largest class of the held-out "
        f"objects. One standard error of an accuracy is at most {0.5 / fewest**0.5:.3f}. PSNR and "
        "adjusted Rand index: means over images; the background counts as a segment, L is enlarged "
        "bilinearly to the mask's resolution. Held-out scenes use parts of the photographs and "
        "digits that no train scene uses.</p></div>"
    )
