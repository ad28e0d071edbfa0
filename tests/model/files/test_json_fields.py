"""Fields of JSON files: what is taken, and what a message says of the rest."""

import json
import re

import pytest

from stellar.model.files.json_fields import JsonFields
from stellar.model.files.strict_loading import WeightsError


def fields(text: str) -> JsonFields:
    return JsonFields(json.loads(text), "its config.json")


def test_fields_are_read_as_what_they_are() -> None:
    read = fields('{"n": 3, "x": 0.5, "list": [1, 2.5], "word": "a", "within": {"n": 4}}')
    assert (read.whole("n", 1), read.number("x", 1.0), read.number("n", 1.0)) == (3, 0.5, 3)
    assert (read.numbers("list"), read.text("word", "")) == ((1.0, 2.5), "a")
    assert read.table("within").whole("n", 1) == 4
    read.require("n", 3)


def test_what_is_absent_is_what_the_reader_means() -> None:
    read = fields('{"null": null}')
    assert (read.whole("n", 7), read.whole("n", None), read.number("x", 0.5)) == (7, None, 0.5)
    assert (read.numbers("list"), read.numbers("null"), read.text("word", "b")) == (None, None, "b")
    assert read.table("within").whole("n", 8) == 8
    read.require("n", 3)


@pytest.mark.parametrize(
    "value", ["null", "true", '"3"', "[3]", "{}", "NaN", "-Infinity", "9" * 400]
)
def test_what_is_no_number_is_none(value: str) -> None:
    read = fields(f'{{"within": {{"x": {value}}}}}').table("within")
    with pytest.raises(WeightsError, match=r"its config.json, in within, must say a number as x"):
        read.number("x", 1.0)


@pytest.mark.parametrize(("value", "expected"), [("1", True), ("true", 1), ("null", 0)])
def test_one_is_not_true(value: str, expected: object) -> None:
    with pytest.raises(WeightsError, match=f"must say n {expected}, to go with its tensors, got"):
        fields(f'{{"n": {value}}}').require("n", expected)


def test_a_message_is_one_short_line() -> None:
    read = fields(json.dumps({"a": "\n\x1b[31m", "b": "x" * 3000}))
    with pytest.raises(WeightsError, match=re.escape(r"as a, got '\n\x1b[31m'")):
        read.whole("a", 1)
    with pytest.raises(WeightsError, match=r"as b, got 'x{10,20}\.\.\.x{10,20}'$"):
        read.whole("b", 1)
