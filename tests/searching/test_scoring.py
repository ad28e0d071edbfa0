"""MaxSim against its definition, term by term."""

import numpy as np
import pytest
import torch

from stellar.searching.candidates import every_picture
from stellar.searching.places import PLACES, Box
from stellar.searching.rows import InMemory
from stellar.searching.scoring import SILENT, Query, score
from stellar.searching.vectors import unit
from stellar.searching.words import Origin, Words

RNG = np.random.default_rng(0)
SPARSE = unit(RNG.normal(size=(7, 4, 9)))
MAPS = RNG.random((7, 4, 3, 5)).astype(np.float16)
WANTED, UNWANTED = unit(RNG.normal(size=(3, 9))), unit(RNG.normal(size=(2, 9)))
NOTHING, EVERY = np.zeros((0, 9), np.float32), np.arange(7)
EVEN = torch.full((7, 4), 1 / 4)
SAME = Words(np.eye(9, dtype=np.float32), np.zeros(9, np.float32), Origin("none", "0" * 64, "crop"))


def mass(picture: int, token: int, box: Box) -> float:
    """The part of a map in a box, patch by patch."""
    x0, y0, x1, y1 = box
    height, width = MAPS.shape[2:]
    total = inside = 0.0
    for (row, column), value in np.ndenumerate(MAPS[picture, token].astype(float)):
        across = min(x1 * width, column + 1) - max(x0 * width, column)
        down = min(y1 * height, row + 1) - max(y0 * height, row)
        total += value
        inside += value * max(0.0, across) * max(0.0, down)
    return inside / total


def term_by_term(query: Query, picture: int) -> tuple[float, list[int]]:
    """The formula of scoring.py in loops."""
    total, tokens = 0.0, []
    for wanted in query.wanted:
        cosines = [float(wanted @ token) for token in SPARSE[picture]]
        if query.box is not None:
            cosines = [
                max(0.0, cosine) * mass(picture, k, query.box) for k, cosine in enumerate(cosines)
            ]
        total += max(cosines) / len(query.wanted)
        tokens.append(cosines.index(max(cosines)))
    against = [float(u @ token) for u in query.unwanted for token in SPARSE[picture]]
    return total - max([0.0, *against]), tokens


@pytest.mark.parametrize("box", [None, PLACES["upper-left"], (0.1, 0.3, 0.45, 0.9)])
@pytest.mark.parametrize("unwanted", [NOTHING, UNWANTED])
def test_scores_are_their_definition(box: Box | None, unwanted: np.ndarray) -> None:
    query = Query(WANTED, unwanted, box)
    found = score(query, EVERY, SPARSE, MAPS)
    for picture in range(len(SPARSE)):
        total, tokens = term_by_term(query, picture)
        assert found.total[picture] == pytest.approx(total, abs=1e-5)
        assert found.token[picture].tolist() == tokens


def test_no_score_is_above_its_bound() -> None:
    tokens = torch.from_numpy(SPARSE).half()
    halves, inverse = tokens.numpy(), 1 / tokens.float().norm(dim=2)
    candidates = every_picture(InMemory(tokens, inverse, EVEN), Query(WANTED, NOTHING))
    assert sorted(candidates.numbers) == list(range(7))
    assert (np.diff(candidates.bounds) <= 0).all()
    bounds = np.empty(7, np.float32)
    bounds[candidates.numbers] = candidates.bounds
    for box in (None, *PLACES.values()):
        for unwanted in (NOTHING, UNWANTED):
            total = score(Query(WANTED, unwanted, box), EVERY, unit(halves), MAPS).total
            assert (total <= bounds + 1e-6).all()
    best = np.max(unit(halves) @ WANTED.T, axis=1)
    np.testing.assert_allclose(bounds, best.clip(min=0).mean(axis=1), atol=1e-6)


def test_tokens_that_explain_little_do_not_answer_to_words() -> None:
    query, shares = Query(SPARSE[2, 1][None], NOTHING, words=SAME), EVEN.clone()
    loud = score(query, EVERY, SPARSE, shares=shares.numpy())
    assert loud.token[2] == 1
    assert loud.total[2] == pytest.approx(1, abs=1e-5)
    shares[2, 1] = 0.99 * SILENT / 4
    quiet = score(query, EVERY, SPARSE, shares=shares.numpy())
    assert quiet.token[2] != 1
    others = np.delete(SPARSE[2], 1, axis=0) @ SPARSE[2, 1]
    assert quiet.total[2] == pytest.approx(others.max(), abs=1e-5)
    tokens = torch.from_numpy(SPARSE).half()
    bounds = every_picture(InMemory(tokens, torch.ones(7, 4), shares), query)
    bound = bounds.bounds[bounds.numbers.tolist().index(2)]
    assert bound == pytest.approx(max(0, others.max()), abs=1e-2)


def test_tokens_that_explain_little_lie_at_no_place() -> None:
    query = Query(SPARSE[2, 1][None], NOTHING, box=(0.0, 0.0, 1.0, 1.0))
    maps = (MAPS / MAPS.sum(axis=1, keepdims=True)).astype(np.float16)
    assert score(query, EVERY, SPARSE, maps).token[2] == 1
    shown = maps.copy()
    shown[2, 1] *= 0.9 * SILENT / 4 / maps[2, 1].mean()
    found = score(query, EVERY, SPARSE, shown)
    others = np.delete(SPARSE[2], 1, axis=0) @ SPARSE[2, 1]
    assert found.total[2] == pytest.approx(max(0, others.max()), abs=1e-5)
    anywhere = Query(query.wanted, NOTHING)
    assert score(anywhere, EVERY, SPARSE, shown).token[2] == 1


def test_zeros_stay_zeros() -> None:
    assert not unit(np.zeros((2, 3), np.float16)).any()
