"""Axes and points."""

import re

import pytest

from stellar.evaluation.report.page.labels import LINE
from stellar.evaluation.report.page.svg_scatter import Axis, Point, scatter


@pytest.mark.parametrize("values", [[0.1, 0.93], [71.2], [0.0], [-3.0, 5e6], [1e-4, 2e-4]])
def test_values_lie_inside_and_ticks_are_few_and_round(values: list[float]) -> None:
    axis = Axis.around("x", values)
    assert all(0 < axis.share(value) < 1 for value in values)
    assert 2 <= len(axis.ticks()) <= 8
    assert all(-1e-6 <= axis.share(tick) <= 1 + 1e-6 for tick in axis.ticks())


def test_hardly_any_difference_looks_small_and_percent_end_at_a_hundred() -> None:
    psnr = Axis.around("PSNR, dB", [7.32, 7.38])
    assert abs(psnr.share(7.38) - psnr.share(7.32)) < 0.1
    assert max(Axis.around("top-1, %", [100.0]).ticks()) == 100


def test_a_logarithmic_axis_and_one_that_is_turned_round() -> None:
    axis = Axis.around("numbers", [100.0, 10_000.0], log=True)
    middle = axis.share(1000.0)
    assert middle == pytest.approx(0.5)
    assert {100, 1000, 10_000} <= set(axis.ticks())
    assert len(Axis.around("numbers", [768.0], log=True).ticks()) >= 2
    rfid = Axis("rFID", 2.0, 4.0, reverse=True)
    assert rfid.share(2.5) == pytest.approx(0.75), "lower is better, and better is right"


def test_points_are_where_they_should_be() -> None:
    points = [
        Point(0.25, 0.5, 0, "first", label="first", spread=(0.0, 0.1)),
        Point(0.75, 0.9, 7, "second", label="<second>"),
    ]
    plot = scatter(points, Axis("x", 0.0, 1.0), Axis("y", 0.0, 1.0))
    (x0, y0), (x1, y1) = (
        map(float, found) for found in re.findall(r'<circle cx="([\d.]+)" cy="([\d.]+)"', plot)
    )
    assert x1 - x0 == pytest.approx(408 / 2, abs=0.2)
    assert y0 - y1 == pytest.approx(294 * 0.4, abs=0.2), "up in the picture is down in its numbers"
    assert plot.count('class="bar"') == 1
    assert 'class="mark m1"' in plot, "colours begin again"
    assert "&lt;second&gt;" in plot


def test_letters_of_a_model_are_joined() -> None:
    points = [Point(0.1 * i, 0.2, i % 2, "", letter=letter) for i, letter in enumerate("SSLLUU")]
    plot = scatter(points, Axis("x", 0.0, 1.0), Axis("y", 0.0, 1.0), (0.3, None), joined=("S", "L"))
    assert [len(p.split()) for p in re.findall(r'<polyline.*?points="([^"]+)"', plot)] == [2, 2]
    assert plot.count('class="chance"') == 1


def test_a_name_stands_off_the_bars_of_its_point() -> None:
    """Wherever it goes, it is above or below a bar that is longer than it."""
    axis, name = Axis("x", 0.0, 1.0), "stellar-scenes"
    for y in (0.02, 0.5, 0.98):
        plot = scatter([Point(0.5, y, 0, "", label=name, spread=(0.4, 0.0))], axis, axis)
        (bar,) = re.findall(r'class="bar" d="M[\d.]+ ([\d.]+)L', plot)
        (base,) = re.findall(r'class="name m0" y="([\d.]+)"', plot)
        top = float(base) + 4 - LINE
        assert not top < float(bar) < top + LINE
