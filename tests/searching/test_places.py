"""Where maps lie, against maps made by hand."""

import itertools
import re
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch

from stellar.errors import UserError
from stellar.searching.places import (
    PLACES,
    Box,
    check_box,
    in_words,
    mass_within,
    most_within,
    parse_place,
    patch_at,
    places,
)


def test_one_patch() -> None:
    """Row 1, column 3 of 2 x 4 patches."""
    single = np.zeros((2, 4), np.float16)
    single[1, 3] = 1
    found = places(single[None])
    np.testing.assert_allclose(found.centre, [[0.875, 0.75]])
    np.testing.assert_allclose(found.spread, 0, atol=1e-3)
    np.testing.assert_allclose(found.box, [[0.75, 0.5, 1, 1]])
    np.testing.assert_allclose(found.share, 1 / 8)


def test_two_patches_far_apart() -> None:
    two = np.zeros((4, 4), np.float32)
    two[0, 0] = two[3, 3] = 0.5
    found = places(two[None])
    np.testing.assert_allclose(found.centre, [[0.5, 0.5]])
    np.testing.assert_allclose(found.spread, np.hypot(0.375, 0.375), rtol=1e-6)
    np.testing.assert_allclose(found.box, [[0, 0, 1, 1]])
    np.testing.assert_allclose(found.share, 1 / 16)


def test_the_box_holds_the_fewest_patches_that_make_four_fifths() -> None:
    rest = np.full((4, 4), 0.19 / 14, np.float32)
    rest[1, 1], rest[1, 2] = 0.41, 0.40
    np.testing.assert_allclose(places(rest[None]).box, [[0.25, 0.25, 0.75, 0.5]])
    rest[:] = 0.3 / 14
    rest[1, 1], rest[1, 2] = 0.4, 0.3  # five more patches are needed, of equals the first
    np.testing.assert_allclose(places(rest[None]).box, [[0, 0, 1, 0.5]])


def test_many_maps_at_once_and_an_empty_one() -> None:
    maps = np.random.default_rng(0).random((5, 3, 6, 7)).astype(np.float16)
    maps[2, 1] = 0
    found = places(maps)
    assert found.box.shape == (5, 3, 4)
    for index in np.ndindex(5, 3):
        one = places(maps[index][None])
        for name in ("centre", "spread", "box", "share"):
            np.testing.assert_allclose(
                getattr(found, name)[index], getattr(one, name)[0], rtol=1e-5, atol=1e-6
            )
    np.testing.assert_allclose(found.centre[2, 1], [0.5, 0.5], rtol=1e-6)
    assert found.share[2, 1] == 0


@pytest.mark.parametrize("box", [*PLACES.values(), (0.4, 0.1, 0.5, 0.9)])
def test_a_tokens_box_bounds_what_lies_at_a_place(box: Box) -> None:
    rng = np.random.default_rng(0)
    maps = np.exp(8 * rng.normal(size=(500, 1, 7, 7))).astype(np.float32)
    most, mass = most_within(places(maps).box[:, 0], box), mass_within(maps, box)[:, 0]
    assert (mass < most + 1e-5).all()
    assert set(np.round(most, 6)) == {np.float32(0.2), np.float32(1)}


def test_mass_within_a_box() -> None:
    """What is nowhere, as the second map says, is in no box."""
    maps = np.zeros((2, 2, 2), np.float32)
    maps[0, 0] = 0.75, 0.25
    for box, mass in (
        ((0.0, 0.0, 0.5, 1.0), 0.75),
        ((0.0, 0.5, 1.0, 1.0), 0),
        # A quarter of the upper left patch, and half of its neighbour.
        ((0.25, 0.25, 1.0, 0.5), 0.75 / 4 + 0.25 / 2),
    ):
        np.testing.assert_allclose(mass_within(maps, box), [mass, 0], rtol=1e-6)


def test_places_by_name_halve_and_quarter() -> None:
    maps = np.random.default_rng(1).random((3, 5, 5)).astype(np.float32)
    for one, other in (("left", "right"), ("top", "bottom")):
        both = mass_within(maps, PLACES[one]) + mass_within(maps, PLACES[other])
        np.testing.assert_allclose(both, 1, rtol=1e-5)
    quarters = [name for name in PLACES if "-" in name]
    np.testing.assert_allclose(sum(mass_within(maps, PLACES[q]) for q in quarters), 1, rtol=1e-5)


def test_places_as_users_write_them() -> None:
    assert parse_place("upper-left") == (0, 0, 0.5, 0.5)
    assert parse_place("0,0.25,.5,1") == (0, 0.25, 0.5, 1)
    for text, name in (
        ("Upper-Left", "upper-left"), ("upper left", "upper-left"), ("MIDDLE", "middle"),
        ("center", "middle"), ("centre", "middle"), ("upper", "top"), ("lower", "bottom"),
    ):  # fmt: skip
        assert parse_place(text) == PLACES[name]
    for text, said in (
        ("Lefft", r"a place is left, right, .*, got Lefft; did you mean 'left'\?"),
        ("nowhere", r"a place is left, right, .*, got nowhere$"),
        ("0,0,1", "a box x0,y0,x1,y1"),
        ("0,0,2,1", "got 0,0,2,1"),
        ("0.5,0,0.5,1", "its left and upper edges first"),
        ("nan,0,1,1", "in \\[0, 1\\]"),
    ):
        with pytest.raises(UserError, match=said):
            parse_place(text)


@pytest.mark.parametrize(
    "given",
    [
        [0, 0.25, 0.5, 1],
        np.array([0, 0.25, 0.5, 1], np.float32),
        torch.tensor([0, 0.25, 0.5, 1]),
        (False, Fraction(1, 4), 0.5, np.int64(1)),
    ],
)
def test_a_box_may_be_a_list_an_array_or_a_tensor(given: Any) -> None:
    box = check_box(given)
    assert box == (0, 0.25, 0.5, 1)
    assert {type(value) for value in box} == {float}


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ((0, 0, 1), "(0, 0, 1)"),
        (3, "3"),
        ("0011", "'0011'"),
        (["0", "0", "1", "1"], "['0', '0', '1', '1']"),
        ((0, 0, 1, 10**400), "(0, 0, 1, 1000"),
        (tuple("abcd"), "('a', 'b', 'c', 'd')"),
        ((0, 0, None, 1), "(0, 0, None, 1)"),
        ((0, 0, 1j, 1), "(0, 0, 1j, 1)"),
        (torch.zeros(4, 2), "tensor("),
        (torch.tensor([0.5, 0, 0.5, 1]), "0.5,0,0.5,1"),
        ((0, 0, np.nan, 1), "0,0,nan,1"),
    ],
)
def test_what_is_no_box_gets_a_sentence(given: Any, shown: str) -> None:
    expected = "a box is x0,y0,x1,y1 in [0, 1], its left and upper edges first, got "
    with pytest.raises(UserError, match=re.escape(expected + shown)):
        check_box(given)


def test_a_place_that_is_told_can_be_asked_for() -> None:
    assert in_words(0.1, 0.9, 0.2) == "lower-left"
    assert in_words(0.5, 0.5, 0.2) == "middle"
    assert in_words(1.0, 0.5, 0.2) == "right"
    for x, y in itertools.product(np.linspace(0, 1, 13), repeat=2):
        x0, y0, x1, y1 = parse_place(in_words(x, y, 0.2))
        assert x0 <= x <= x1
        assert y0 <= y <= y1


def test_what_is_scattered_lies_in_many_places() -> None:
    """As an even map does, whose centre is in the middle."""
    even = places(np.ones((1, 8, 8)))
    ((x, y),), (spread,) = even.centre.tolist(), even.spread.tolist()
    assert in_words(x, y, spread) == "in many places"


def test_patches() -> None:
    assert patch_at(0.0, 0.999, 4, 8) == (3, 0)
    assert patch_at(1.0, 0.5, 4, 8) == (2, 7)
