"""The report's figures as inline SVG: the what-where plane, and curves of a run's metrics.

Colours come from the page's style sheet, by classes, so figures follow its light and dark theme.
"""

import math
from collections.abc import Mapping, Sequence
from html import escape

from stellar.evaluation.probes import FEATURES, Probe
from stellar.evaluation.report import SceneReport

_PLANE, _PLANE_LEFT, _PLANE_BOTTOM, _PLANE_TOP = 300, 46, 44, 14
_CURVE_WIDTH, _CURVE_HEIGHT = 300, 96
_MOST_POINTS = 400
"""Of one curve; longer ones are averaged over as many steps as it takes."""
_SMOOTHING = 0.06
"""Share of the points that the strong line is averaged over; a faint line shows all points."""


def what_where_plane(columns: Mapping[str, SceneReport], probe: Probe) -> str:
    """Material (up) against place (right): each feature a path through the models."""
    reports = list(columns.values())
    parts, names = [_plane_axes(reports[-1], probe)], []
    for feature in FEATURES:
        points = [
            _on_plane(
                report.score(feature, "place", probe).accuracy,
                report.score(feature, "material", probe).accuracy,
            )
            for report in reports
        ]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        parts.append(f'<g class="feature-{feature}"><polyline class="path" points="{path}"/>')
        for (x, y), name in zip(points[:-1], columns, strict=False):
            tip = f"<title>{feature}, {escape(name)}</title>"
            parts.append(f'<circle class="before" cx="{x:.1f}" cy="{y:.1f}" r="5">{tip}</circle>')
        x, y = points[-1]
        name_y = y - 15 if y > _PLANE_TOP + 30 else y + 25
        parts.append(f'<circle class="now" cx="{x:.1f}" cy="{y:.1f}" r="8"/></g>')
        names.append(
            f'<text class="name feature-{feature}" x="{x:.1f}" y="{name_y:.1f}" '
            f'text-anchor="middle">{feature}</text>'
        )
    width = _PLANE_LEFT + _PLANE + 12
    height = _PLANE_TOP + _PLANE + _PLANE_BOTTOM
    return (
        f'<svg class="plane" viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="material against place, {probe}">{"".join(parts + names)}</svg>'
    )


def _on_plane(place: float, material: float) -> tuple[float, float]:
    return _PLANE_LEFT + place * _PLANE, _PLANE_TOP + (1 - material) * _PLANE


def _plane_axes(report: SceneReport, probe: Probe) -> str:
    left, top, right, bottom = _PLANE_LEFT, _PLANE_TOP, _PLANE_LEFT + _PLANE, _PLANE_TOP + _PLANE
    chance_x, chance_y = _on_plane(
        report.score("S", "place", probe).chance, report.score("S", "material", probe).chance
    )
    parts = [
        f'<rect class="frame" x="{left}" y="{top}" width="{_PLANE}" height="{_PLANE}" rx="8"/>'
    ]
    parts.append(
        f'<path class="chance" d="M{chance_x:.1f} {top}V{bottom}M{left} {chance_y:.1f}H{right}"/>'
    )
    for share in (0.0, 0.5, 1.0):
        x, y = _on_plane(share, share)
        parts.append(f'<text x="{x:.1f}" y="{bottom + 17}" text-anchor="middle">{share:g}</text>')
        parts.append(f'<text x="{left - 8}" y="{y + 4:.1f}" text-anchor="end">{share:g}</text>')
    middle_x, middle_y = left + _PLANE / 2, top + _PLANE / 2
    parts.append(
        f'<text class="axis" x="{middle_x}" y="{bottom + 36}" text-anchor="middle">'
        "place: where</text>"
        f'<text class="axis" transform="translate(14 {middle_y}) rotate(-90)" text-anchor="middle">'
        "material: what</text>"
    )
    return "".join(parts)


def metric_curves(rows: Sequence[Mapping[str, object]]) -> list[str]:
    """One small figure for each number that the rows report beside their step."""
    names = dict.fromkeys(name for row in rows for name in row if name != "step")
    figures = []
    for name in names:
        points = [
            (step, value)
            for row in rows
            if (step := _number(row.get("step"))) is not None
            and (value := _number(row.get(name))) is not None
        ]
        if len(points) > 1:
            figures.append(_curve(name, _thinned(points)))
    return figures


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def _thinned(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    size = math.ceil(len(points) / _MOST_POINTS)
    groups = [points[start : start + size] for start in range(0, len(points), size)]
    return [(group[-1][0], sum(y for _, y in group) / len(group)) for group in groups]


def _smoothed(values: list[float]) -> list[float]:
    """A centred mean; the window shrinks at the ends."""
    reach = round(_SMOOTHING * len(values) / 2)
    smooth = []
    for i in range(len(values)):
        near = min(reach, i, len(values) - 1 - i)
        smooth.append(sum(values[i - near : i + near + 1]) / (2 * near + 1))
    return smooth


def _curve(name: str, points: list[tuple[float, float]]) -> str:
    steps, values = [x for x, _ in points], [y for _, y in points]
    low, high = min(values), max(values)

    def path(heights: list[float]) -> str:
        scale = _CURVE_WIDTH / ((steps[-1] - steps[0]) or 1)
        return " ".join(
            f"{(x - steps[0]) * scale:.1f},{_CURVE_HEIGHT * _share(y, low, high):.1f}"
            for x, y in zip(steps, heights, strict=True)
        )

    smooth = _smoothed(values)
    title = escape(name.replace("_", " "))
    return (
        '<figure class="curve">'
        f"<figcaption><span>{title}</span><b>{_short(smooth[-1])}</b></figcaption>"
        f'<svg viewBox="-2 -4 {_CURVE_WIDTH + 4} {_CURVE_HEIGHT + 8}" role="img" '
        f'aria-label="{title}">'
        f'<polyline class="raw" points="{path(values)}"/>'
        f'<polyline class="smooth" points="{path(smooth)}"/></svg>'
        f'<div class="range"><span>{_short(low)} to {_short(high)}</span>'
        f"<span>step {steps[-1]:,.0f}</span></div></figure>"
    )


def _share(y: float, low: float, high: float) -> float:
    """How far down y lies, 0 at the top; in the middle where all values are the same."""
    return (high - y) / (high - low) if high > low else 0.5


def _short(value: float) -> str:
    """Three significant digits, without an exponent where that is shorter."""
    if value == 0:
        return "0"
    if not 1e-3 <= abs(value) < 1e6:
        return f"{value:.1e}"
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2 if abs(value) >= 0.1 else 4
    return f"{value:,.{digits}f}"
