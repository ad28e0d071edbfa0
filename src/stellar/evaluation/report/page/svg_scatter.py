"""A plot of points as inline SVG. Colours come from the page's style sheet, by classes, so that
figures follow its light and dark theme.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from stellar.evaluation.report.page.labels import LINE, Box, place_labels

NUM_COLOURS = 6
"""Of models, in the style sheet; more begin again with the first."""
_WIDTH, _HEIGHT = 480.0, 360.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 58.0, 14.0, 14.0, 52.0
_AREA = Box(_LEFT, _TOP, _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM)

_BETTER = Box(_WIDTH - _RIGHT - 74, _TOP + 6, 70.0, LINE)
"""Where it is said what is better."""
_BAR = 3.0
"""Half the width that names leave to a bar."""


@dataclass(frozen=True)
class Axis:
    """From `low` to `high`, or the other way round where lower is better."""

    name: str
    low: float
    high: float
    log: bool = False
    reverse: bool = False

    @staticmethod
    def around(name: str, values: Sequence[float], log: bool = False,
               reverse: bool = False) -> "Axis":  # fmt: skip
        """With room on both sides of the values, so much that hardly any difference looks small."""
        if log:
            return Axis(name, min(values) / 2, max(values) * 2, log, reverse)
        low, high = min(values), max(values)
        room = max(0.14 * (high - low), 0.05 * abs(high)) or 0.5
        return Axis(name, low - room, high + room, log, reverse)

    def share(self, value: float) -> float:
        """Where the value lies on the axis, 0 to 1."""
        low, high, value = ((math.log(x) if self.log else x) for x in (self.low, self.high, value))
        share = (value - low) / (high - low)
        return 1 - share if self.reverse else share

    def ticks(self) -> list[float]:
        """Round values."""
        if self.log:
            powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            wide = len(powers) > 4
            steps = [10.0**p * m for p in powers for m in ((1,) if wide else (1, 2, 5))]
            return [tick for tick in steps if self.low <= tick <= self.high]
        rough = (self.high - self.low) / 5
        unit = 10.0 ** math.floor(math.log10(rough))
        step = next(unit * m for m in (1, 2, 5, 10) if unit * m >= rough)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        ticks = [round(i * step, 10) for i in range(first, last + 1)]
        return [tick for tick in ticks if tick <= 100 or "%" not in self.name]


@dataclass(frozen=True)
class Point:
    """One of a model, by its number; a letter is written into it, a label beside it."""

    x: float
    y: float
    model: int
    tip: str
    label: str = ""
    letter: str = ""
    spread: tuple[float, float] = (0.0, 0.0)


def scatter(
    points: Sequence[Point],
    across: Axis,
    up: Axis,
    chance: tuple[float | None, float | None] = (None, None),
    better: bool = False,
    joined: Sequence[str] = (),
) -> str:
    """`chance`: x and y of dashed lines; `better`: say that up and right is good; `joined`: letters
    of the points that a line joins, for each model.
    """
    paths = [_path([p for p in points if p.model == model and p.letter in joined], across, up)
             for model in sorted({p.model for p in points})]  # fmt: skip
    return (
        f'<svg class="plot" viewBox="0 0 {_WIDTH:g} {_HEIGHT:g}" role="img" '
        f'aria-label="{escape(up.name)} against {escape(across.name)}">'
        + _axes(across, up, better)
        + _chance(chance, across, up)
        + "".join(paths)
        + "".join(_mark(point, across, up) for point in points)
        + _labels([p for p in points if p.label], across, up)
        + "</svg>"
    )


def _place(x: float, y: float, across: Axis, up: Axis) -> tuple[float, float]:
    return (
        _AREA.left + across.share(x) * _AREA.width,
        _AREA.top + (1 - up.share(y)) * _AREA.height,
    )


def _axes(across: Axis, up: Axis, better: bool) -> str:
    left, top, right, bottom = _LEFT, _TOP, _WIDTH - _RIGHT, _HEIGHT - _BOTTOM
    size = f'width="{_AREA.width}" height="{_AREA.height}"'
    parts = [f'<rect class="frame" x="{left}" y="{top}" {size} rx="8"/>']
    for tick in across.ticks():
        x = _AREA.left + across.share(tick) * _AREA.width
        parts.append(f'<path class="gridline" d="M{x:.1f} {top}V{bottom}"/>')
        parts.append(
            f'<text x="{x:.1f}" y="{bottom + 18}" text-anchor="middle">{_tick(tick)}</text>'
        )
    for tick in up.ticks():
        y = _AREA.top + (1 - up.share(tick)) * _AREA.height
        parts.append(
            f'<path class="gridline" d="M{left} {y:.1f}H{right}"/>'
            f'<text x="{left - 8}" y="{y + 4:.1f}" text-anchor="end">{_tick(tick)}</text>'
        )
    parts.append(
        f'<text class="axis" x="{(left + right) / 2}" y="{_HEIGHT - 10}" text-anchor="middle">'
        f"{escape(across.name)}</text>"
        f'<text class="axis" transform="translate(15 {(top + bottom) / 2}) rotate(-90)" '
        f'text-anchor="middle">{escape(up.name)}</text>'
    )
    if better:
        parts.append(f'<text class="better" x="{right - 10}" y="{top + 20}" text-anchor="end">'
                     "better ↗</text>")  # fmt: skip
    return "".join(parts)


def _tick(value: float) -> str:
    if value >= 1e6:
        return f"{value / 1e6:g}M"
    return f"{value / 1e3:g}k" if value >= 1e3 else f"{value:g}"


def _chance(chance: tuple[float | None, float | None], across: Axis, up: Axis) -> str:
    x, y = chance
    d = ""
    if x is not None:
        d += f"M{_place(x, up.low, across, up)[0]:.1f} {_TOP}V{_HEIGHT - _BOTTOM}"
    if y is not None:
        d += f"M{_LEFT} {_place(across.low, y, across, up)[1]:.1f}H{_WIDTH - _RIGHT}"
    return f'<path class="chance" d="{d}"/>' if d else ""


def _path(points: Sequence[Point], across: Axis, up: Axis) -> str:
    if len(points) < 2:
        return ""
    places = " ".join("{:.1f},{:.1f}".format(*_place(p.x, p.y, across, up)) for p in points)
    return f'<polyline class="path m{points[0].model % NUM_COLOURS}" points="{places}"/>'


def _bars(point: Point, across: Axis, up: Axis) -> list[tuple[float, float, float, float]]:
    """Both ends of the lines that show its spread: x, y, x, y."""
    x, y = _place(point.x, point.y, across, up)
    bars = []
    for spread, axis, unit in ((point.spread[0], across, (_AREA.width, 0)),
                               (point.spread[1], up, (0, _AREA.height))):  # fmt: skip
        if spread and not axis.log:
            dx, dy = (spread / (axis.high - axis.low) * length for length in unit)
            bars.append((x - dx, y - dy, x + dx, y + dy))
    return bars


def _mark(point: Point, across: Axis, up: Axis) -> str:
    x, y = _place(point.x, point.y, across, up)
    bars = "".join(
        f'<path class="bar" d="M{left:.1f} {top:.1f}L{right:.1f} {bottom:.1f}"/>'
        for left, top, right, bottom in _bars(point, across, up)
    )
    inside = f'<text x="{x:.1f}" y="{y + 4:.1f}">{escape(point.letter)}</text>'
    radius = 6 if not point.letter else 10 if len(point.letter) == 1 else 13
    return (
        f'<g class="mark m{point.model % NUM_COLOURS}"><title>{escape(point.tip)}</title>{bars}'
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius}"/>{inside if point.letter else ""}</g>'
    )


def _labels(points: Sequence[Point], across: Axis, up: Axis) -> str:
    """Names beside their points and off the bars of their spread; a thin line leads to those that
    had to go further.
    """
    parts, places = [], [_place(p.x, p.y, across, up) for p in points]
    bars = [Box(left - _BAR, top - _BAR, right - left + 2 * _BAR, bottom - top + 2 * _BAR)
            for p in points for left, top, right, bottom in _bars(p, across, up)]  # fmt: skip
    boxes = place_labels(places, [p.label for p in points], _AREA, [_BETTER, *bars])
    for point, (x, y), box in zip(points, places, boxes, strict=True):
        if box.distance(x, y) > 14:
            end = min(max(x, box.left), box.left + box.width)
            edge = box.top if box.top > y else box.top + box.height
            parts.append(f'<path class="leader" d="M{x:.1f} {y:.1f}L{end:.1f} {edge:.1f}"/>')
        parts.append(
            f'<text class="name m{point.model % NUM_COLOURS}" y="{box.top + LINE - 4:.1f}" '
            f"{_anchor(box, x)}>{escape(point.label)}</text>"
        )
    return "".join(parts)


def _anchor(box: Box, x: float) -> str:
    """A name begins or ends at its point, since its width is an estimate."""
    if box.left > x:
        return f'x="{box.left:.1f}" text-anchor="start"'
    if box.left + box.width < x:
        return f'x="{box.left + box.width:.1f}" text-anchor="end"'
    return f'x="{box.left + box.width / 2:.1f}" text-anchor="middle"'
