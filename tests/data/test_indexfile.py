"""What an index says of itself may be anything: it is read whole, or made again."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from stellar.data.indexfile import read_index, write_index

ARRAYS = {"offsets": np.arange(3)}


def test_an_index_comes_back_with_what_it_is_of(tmp_path: Path) -> None:
    assert write_index(tmp_path / "index", ARRAYS, {"data": "x"})
    arrays, seal = read_index(tmp_path / "index") or ({}, {})
    assert np.array_equal(arrays["offsets"], ARRAYS["offsets"])
    assert seal == {"data": "x"}


@pytest.mark.parametrize("seal", ["", "{}", "[]", "3", '{"version": "0"}', "[" * 100_000])
def test_an_index_that_says_something_else_is_none(tmp_path: Path, seal: str) -> None:
    save_file(ARRAYS, tmp_path / "index", metadata={"seal": seal})
    assert read_index(tmp_path / "index") is None
