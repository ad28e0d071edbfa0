import math
import re

import pytest

from stellar.evaluation.report.page.curves import metric_curves


def polylines(figure):
    found = re.findall(r'<polyline class="(\w+)" points="([^"]+)"', figure)
    return {
        name: [tuple(float(v) for v in pair.split(",")) for pair in points.split()]
        for name, points in found
    }


def test_a_curve_falls_where_its_metric_falls_and_fills_its_frame():
    (figure,) = metric_curves([{"step": 10 * i, "loss": 5.0 - i} for i in range(5)])
    raw = polylines(figure)["raw"]
    assert raw[0] == (0, 0)
    assert raw[-1] == (300, 96), "downwards in the picture is upwards in its coordinates"
    assert [y for _, y in raw] == sorted(y for _, y in raw)


def test_what_is_not_a_number_is_left_out():
    rows = [
        {"step": 0, "loss": math.nan, "note": "start", "flag": True, "once": 1.0},
        {"step": 1, "loss": 2.0, "note": "x", "flag": False, "late": None},
        {"step": 2, "loss": math.inf, "late": 3},
        {"step": 3, "loss": 1.0, "late": 4},
        {"loss": 8.0},
    ]
    figures = metric_curves(rows)
    assert len(figures) == 2
    assert len(polylines(figures[0])["raw"]) == len(polylines(figures[1])["raw"]) == 2
    assert "nan" not in "".join(figures)
    assert metric_curves([]) == metric_curves(rows[:1]) == []


def test_a_constant_metric_and_steps_that_repeat_are_drawn():
    (figure,) = metric_curves([{"step": 4, "rank": 3.0}] * 3)
    assert {y for _, y in polylines(figure)["smooth"]} == {48}


@pytest.mark.parametrize("count", [399, 400, 401, 100_000])
def test_long_curves_are_averaged_and_keep_their_level(count):
    rows = [{"step": i, "loss": 1.0 + i % 2} for i in range(count)]
    (figure,) = metric_curves(rows)
    assert 200 <= len(polylines(figure)["raw"]) <= 400
    assert len(figure) < 20_000
    smooth = [y for _, y in polylines(figure)["smooth"]]
    assert smooth[len(smooth) // 2] == pytest.approx(48, abs=12) or count > 400
