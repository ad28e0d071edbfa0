"""JSON that cannot be read is a ValueError, whatever is wrong with it."""

import pytest

from stellar.json_text import parse_json


@pytest.mark.parametrize("text", ["", "{", "nothing", b"\xff", "[" * 100_000, '{"a":' * 100_000])
def test_what_is_no_json_is_a_value_error(text: str | bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 (whatever Python says of it)
        parse_json(text)


def test_json_is_what_it_says() -> None:
    assert parse_json('{"a": [1, 2.5, null]}') == parse_json(b'{"a": [1, 2.5, null]}')
    assert parse_json('{"a": [1, 2.5, null]}') == {"a": [1, 2.5, None]}
