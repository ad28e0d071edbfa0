"""Curves of a run's metrics, as inline SVG."""

import math
from collections.abc import Mapping, Sequence
from html import escape

_CURVE_WIDTH, _CURVE_HEIGHT = 300, 96
_MOST_POINTS = 400
"""Of one curve; longer ones are averaged over as many steps as it takes."""
_SMOOTHING = 0.06
"""Share of the points that the strong line is averaged over; a faint line shows all points."""


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
