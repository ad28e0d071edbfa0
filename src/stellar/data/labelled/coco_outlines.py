"""COCO's outlines: polygons, or run-length codes, compressed or not. To masks of pixels.

A run-length code has the lengths of runs of 0 and 1 in turn, column by column. Compressed it is
text, whose letters hold 5 bits each.
"""

import warnings
from typing import Any

import numpy as np
from jaxtyping import UInt8

Outline = Any
"""Polygons, lists of x and y in turn; or a run-length code, with its size."""
EXPECTED = (
    "polygons of 3 points or more, none farther outside the picture than the picture is large, or "
    "a run-length code of {} x {} pixels in all"
)
"""What an outline is, in a picture of this height and width."""


def is_outline(outline: Outline, height: int, width: int) -> bool:
    """Whether it is one, of a picture of this size. pycocotools takes shorter lists for boxes, and
    memory that nobody wrote for the rest of a short code.
    """
    if isinstance(outline, dict):
        fits = outline.get("size") == [height, width]
        return fits and _fills(outline.get("counts"), height * width)
    return (
        isinstance(outline, list)
        and bool(outline)
        and all(_is_polygon(each, height, width) for each in outline)
    )


def drawn(outline: Outline, height: int, width: int) -> UInt8[np.ndarray, "{height} {width}"]:
    """1 where an object is; `is_outline` says what can be drawn."""
    from pycocotools import mask

    if isinstance(outline, dict):
        counts = outline["counts"]
        runs = run_lengths(counts) if isinstance(counts, str) else counts
        values = np.repeat(np.arange(len(runs), dtype=np.uint8) % 2, runs)
        return values.reshape(width, height).T
    with warnings.catch_warnings(action="ignore"):  # of numpy 2, about pycocotools
        return mask.decode(mask.merge(mask.frPyObjects(outline, height, width)))


def run_lengths(code: str) -> list[int]:
    """Of a compressed code. A letter has 5 bits of a number, the lowest first, and a sixth where
    more follow; the highest of the last 5 is the sign. From the fourth number on, it is the
    difference to the length two places before. Raises ValueError for other texts.
    """
    runs, value, shift = [], 0, 0
    for letter in code:
        bits = ord(letter) - ord("0")
        if bits not in range(64):
            raise ValueError(f"{letter!r} is no letter of a run-length code")
        value |= (bits & 31) << shift
        shift += 5
        if bits < 32:
            value -= (bits >> 4) << shift
            runs.append(value + (runs[-2] if len(runs) > 2 else 0))
            value, shift = 0, 0
    if shift:
        raise ValueError("a run-length code is cut off")
    return runs


def _fills(counts: Any, pixels: int) -> bool:
    """Whether these are runs of so many pixels in all."""
    try:
        runs = run_lengths(counts) if isinstance(counts, str) else counts
    except ValueError:
        return False
    whole = isinstance(runs, list) and all(type(run) is int and run >= 0 for run in runs)
    return whole and sum(runs) == pixels


def _is_polygon(polygon: Any, height: int, width: int) -> bool:
    """Annotations may reach over the border, but where one is far away it is damaged, and to draw
    it would take memory without end.
    """
    return (
        isinstance(polygon, list)
        and len(polygon) >= 6
        and len(polygon) % 2 == 0
        and all(type(each) in (int, float) for each in polygon)
        and all(-width <= x <= 2 * width for x in polygon[::2])
        and all(-height <= y <= 2 * height for y in polygon[1::2])
    )
