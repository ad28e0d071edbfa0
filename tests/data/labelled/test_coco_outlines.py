"""Run-length codes against pycocotools."""

from typing import cast

import numpy as np
import pytest
from pycocotools import mask

from stellar.data.labelled.coco_outlines import drawn, is_outline, run_lengths


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99, 1.0])
def test_codes_are_read_as_pycocotools_writes_them(share: float) -> None:
    """Sparse masks have runs of many letters, and differences of both signs."""
    rng = np.random.default_rng(0)
    for height, width in ((1, 1), (7, 5), (300, 400)):
        pixels = (rng.random((height, width)) < share).astype(np.uint8)
        packed = cast(bytes, mask.encode(np.asfortranarray(pixels))["counts"]).decode()
        code, runs = (
            {"size": [height, width], "counts": counts} for counts in (packed, run_lengths(packed))
        )
        for outline in (code, runs):
            assert is_outline(outline, height, width)
            assert np.array_equal(drawn(outline, height, width), pixels)


@pytest.mark.parametrize("text", ["~", "é", " ", "P", "1P"])
def test_other_texts_are_no_codes(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no letter of a run-length code|is cut off"):
        run_lengths(text)
