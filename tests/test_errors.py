"""What an error says, as part of a sentence."""

import pytest

from stellar.errors import UserError, first_line


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("one"), "one"),
        (OSError(2, "No such file"), "[Errno 2] No such file"),
        (RuntimeError("\n  one \r\ntwo\n"), "one "),
        (TimeoutError(), "TimeoutError"),
        (UserError(" \n"), "UserError"),
    ],
)
def test_an_error_has_one_line(error: Exception, line: str) -> None:
    assert first_line(error) == line
