"""Numbers that have no range of their own, as floats of a measurement, to [0, 1]."""

import numpy as np

SCALED = "scaled from its own range to [0, 1]"
FILLED = "infinite and missing numbers set to the ends of the others' range"


def to_range(values: np.ndarray, largest: float) -> tuple[np.ndarray, tuple[str, ...]]:
    """Values that lie in [0, largest] as they are, others scaled so that they fill [0, 1], in
    float32; and in words what was done. Numbers that are not finite decide nothing: infinite ones
    become the nearest end of the others' range, NaN its lower one.

    Raises ValueError where no number is finite.
    """
    finite = np.isfinite(values)
    if not finite.any():
        raise ValueError("it holds no finite number")
    low, high = values[finite].min(), values[finite].max()
    fits = low >= 0 and high <= largest
    changes = () if fits else (SCALED,)
    if fits:
        low, high = 0, largest
    if not finite.all():
        values = np.nan_to_num(values, nan=low, posinf=high, neginf=low)
        changes = (*changes, FILLED)
    if not fits:
        largest = max(abs(float(low)), abs(float(high)))  # so that no difference overflows
        low, high = float(low) / largest, float(high) / largest
        values = (values / np.float64(largest) - low) / max(high - low, 1e-12)
        values = values.astype(np.float32)
    return values, changes
