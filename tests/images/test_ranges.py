"""Numbers without a range of their own."""

import numpy as np
import pytest

from stellar.images.ranges import FILLED, SCALED, to_range

NAN, INF = np.nan, np.inf


def test_what_fits_stays() -> None:
    values = np.array([[0.0, 0.5], [0.25, 1.0]], np.float32)
    assert to_range(values, 1.0)[1] == ()
    assert to_range(values, 1.0)[0] is values
    whole = np.array([[0, 65535]], np.int32)
    assert to_range(whole, 65535.0)[0] is whole


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
def test_numbers_that_are_not_finite_decide_nothing(dtype: type) -> None:
    values, changes = to_range(np.array([[0.25, 0.5], [INF, -INF], [NAN, 1.0]], dtype), 1.0)
    assert values.tolist() == [[0.25, 0.5], [1.0, 0.0], [0.0, 1.0]]
    assert changes == (FILLED,)
    values, changes = to_range(np.array([[100, 200], [INF, -INF], [NAN, 150]], dtype), 1.0)
    assert values.tolist() == [[0.0, 1.0], [1.0, 0.0], [0.0, 0.5]]
    assert values.dtype == np.float32
    assert changes == (SCALED, FILLED)


def test_others_fill_the_range() -> None:
    values, changes = to_range(np.array([[-300, 0, 700]], np.int32), 65535.0)
    np.testing.assert_allclose(values, [[0, 0.3, 1]], rtol=1e-6)
    assert changes == (SCALED,)
    assert to_range(np.full((2, 2), 7e5), 1.0)[0].tolist() == [[0, 0], [0, 0]]
    assert np.isfinite(to_range(np.array([[-1e308, 1e308]]), 1.0)[0]).all()


def test_nothing_finite_is_no_picture() -> None:
    with pytest.raises(ValueError, match="no finite number"):
        to_range(np.array([[NAN, INF]]), 1.0)
