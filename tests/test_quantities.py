"""Numbers as people read them."""

import pytest

from stellar.quantities import counted, scaled, whole_number


@pytest.mark.parametrize(
    ("value", "said"),
    [(640, "640"), (21_345, "21.3 k"), (999_700, "1 M"), (86_567_656, "86.6 M"), (2.5e12, "2.5 T")],
)
def test_a_number_has_three_digits_and_a_prefix(value: float, said: str) -> None:
    assert scaled(value) == said


def test_one_thing_is_no_plural() -> None:
    assert [counted(count, "step") for count in (1, 2, 2000)] == [
        "1 step",
        "2 steps",
        "2,000 steps",
    ]


def test_a_whole_number_is_plain_digits() -> None:
    assert [whole_number(text) for text in ("0", "017", "9" * 18)] == [0, 17, 10**18 - 1]
    for text in ("", "-1", "+1", " 1", "1.0", "²", "\u0663", "1" * 5000):
        assert whole_number(text) is None
