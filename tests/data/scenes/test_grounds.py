"""Paper is almost white; photographs are split by region, and say what they need."""

import numpy as np
import pytest

from stellar.data.scenes import Scenes, grounds
from stellar.data.scenes.grounds import paper, photograph, quarter_box
from stellar.errors import MissingPackage


def test_paper_is_almost_white_and_no_two_sheets_are_the_same() -> None:
    sheets = [paper(np.random.default_rng(seed), 48) for seed in range(20)]
    for sheet in sheets:
        assert sheet.min() > 225
        assert 0 < np.diff(sheet.astype(int), axis=1).std() < 4
    assert len({sheet.tobytes() for sheet in sheets}) == 20


def test_splits_see_different_regions_of_a_photograph() -> None:
    covered = np.zeros((400, 600), int)
    for train in (True, False):
        for low in (0, 1):
            left, top, right, bottom = quarter_box((600, 400), train, low)
            covered[top:bottom, left:right] += 1
    assert (covered == 1).all()


@pytest.mark.parametrize("size", [48, 224])
def test_photographs(size: int) -> None:
    source = Scenes("heldout", size=size, ground="photographs")
    scenes = [source.scene(index) for index in range(6)]
    plain = Scenes("heldout", size=size)
    for index, scene in enumerate(scenes):
        assert scene.image.shape == (3, size, size)
        assert (scene.instances == plain.scene(index).instances).all()
    crops = [photograph(np.random.default_rng(seed), size, True) for seed in range(10)]
    assert len({crop.tobytes() for crop in crops}) == 10


def test_scikit_image_is_needed_for_photographs_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grounds, "find_spec", lambda _: None)
    assert Scenes("train").read(0).shape == (3, 48, 48)
    with pytest.raises(MissingPackage, match=r'pip install "stellar-vision\[demo\]"'):
        Scenes("train", ground="photographs")
