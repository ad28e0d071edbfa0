"""Where rows lie in a table that was put in order."""

import numpy as np
import pytest

from stellar.searching.runs import runs


@pytest.mark.parametrize("seed", range(5))
def test_rows_are_found_wherever_their_pieces_lie(seed: int) -> None:
    rng = np.random.default_rng(seed)
    pieces = np.split(np.arange(500), np.sort(rng.choice(500, 6, replace=False)))
    rng.shuffle(pieces)
    table = np.concatenate(pieces)
    batches = [batch for batch in np.array_split(table, 30) if len(batch)]
    found = runs(batches)
    assert len(found.keys) <= len(pieces)
    asked = rng.permutation(500).reshape(50, 10)
    assert (table[found.places_of(asked)] == asked).all()


@pytest.mark.parametrize("table", [[0, 1, 1, 2], [0, 1, 3], [1, 2], [2, 0, 2], [0, 1, 0, 1]])
def test_rows_that_are_missing_or_there_twice_are_refused(table: list[int]) -> None:
    with pytest.raises(ValueError, match="rows are missing, or there twice"):
        runs([np.array(table)])
