"""The recipe that cuts things out of photographs."""

import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.random import default_rng

import photographed
from stellar.config import ModelConfig
from stellar.data.evaluation_data import open_data
from stellar.data.labelled import MaskedSplits
from stellar.data.scenes.grounds import PHOTOGRAPHS, paper
from stellar.data.sources import open_source

pytest.importorskip("skimage")


def test_a_mask_says_where_which_photograph_lies_on_the_paper() -> None:
    seen = set()
    for number in range(60):
        picture, mask = photographed.scene(default_rng([7, number]), 48, True, "paper")
        again, _ = photographed.scene(default_rng([7, number]), 48, True, "paper")
        assert np.array_equal(picture, again)
        ground = paper(default_rng([7, number]), 48)
        assert np.array_equal(picture[mask == 0], ground[mask == 0])
        kinds = set(mask[mask > 0].tolist())
        assert 1 <= len(kinds) <= 4
        assert (picture[mask > 0] != ground[mask > 0]).any(axis=1).mean() > 0.9
        seen |= kinds
    assert seen == set(range(1, 1 + len(PHOTOGRAPHS)))


@pytest.mark.parametrize("ground", ["paper", "photographs"])
def test_what_it_writes_is_opened_to_train_on_and_to_be_judged_by(
    tmp_path: Path,
    ground: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "things"
    call = ["photographed.py", str(out), "--pictures", "5", "--pairs", "6", "--ground", ground]
    monkeypatch.setattr(sys, "argv", call)
    photographed.main()
    assert len(open_source(str(out / "photos"), 3)) == 5
    pairs = open_data(str(out / "pairs"), ModelConfig())
    assert isinstance(pairs, MaskedSplits)
    assert (len(pairs.train), len(pairs.test)) == (6, 6)
    assert pairs.classes == ("background", *(Path(name).stem for name in PHOTOGRAPHS))
    masks = pairs.test.masks(3)
    assert masks.classes.shape == (48, 48)
    assert ((masks.instances > 0) == (masks.classes > 0)).all()
    assert masks.instances.any()
    with pytest.raises(SystemExit, match="2"):
        photographed.main()
    assert "things exists; choose another folder" in capsys.readouterr().err
