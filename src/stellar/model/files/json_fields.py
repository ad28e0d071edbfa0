"""Fields of JSON files that somebody else wrote, each read as the kind that it must have: null is
no value of any kind, and true is no number.
"""

import reprlib
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from stellar.model.files.strict_loading import WeightsError

Default = TypeVar("Default")
LARGEST = sys.float_info.max
"""No number of JSON is beyond it, but for integers of hundreds of digits, Infinity and NaN."""


@dataclass(frozen=True)
class JsonFields:
    """A table of a JSON file. What reads a field takes what is meant where it is absent, and raises
    WeightsError for a value of another kind.
    """

    content: Mapping[str, Any]
    file: str
    """What a message calls the file."""

    def whole(self, name: str, default: Default) -> int | Default:
        """A whole number from 1."""
        value = self.content.get(name, default)
        fits = value is default or (_is_number(value) and isinstance(value, int) and value >= 1)
        return self._fitting(name, value, fits, "a whole number from 1")

    def number(self, name: str, default: Default) -> float | Default:
        """A finite number."""
        value = self.content.get(name, default)
        return self._fitting(name, value, value is default or _is_number(value), "a number")

    def numbers(self, name: str) -> tuple[float, ...] | None:
        """A list of finite numbers. None where it is absent or null, which leaves a preprocessor's
        field to the class that reads it.
        """
        value = self.content.get(name)
        fits = value is None or (isinstance(value, list) and all(map(_is_number, value)))
        self._fitting(name, value, fits, "a list of numbers")
        return None if value is None else tuple(map(float, value))

    def text(self, name: str, default: str) -> str:
        value = self.content.get(name, default)
        return self._fitting(name, value, isinstance(value, str), "a text")

    def table(self, name: str) -> "JsonFields":
        """A table within; empty where it is absent."""
        value = self.content.get(name, {})
        fits = isinstance(value, dict)
        return JsonFields(self._fitting(name, value, fits, "a table"), f"{self.file}, in {name},")

    def require(self, name: str, expected: object) -> None:
        """Raises WeightsError where a field says something else than what the tensors say."""
        said = self.content.get(name, expected)
        if not is_same(said, expected):
            raise WeightsError(
                f"{self.file} must say {name} {expected}, to go with its tensors, got "
                f"{shown(said)}; take both files from one model"
            )

    def _fitting(self, name: str, value: Any, fits: bool, expected: str) -> Any:
        if fits:
            return value
        raise WeightsError(f"{self.file} must say {expected} as {name}, got {shown(value)}")


def is_same(one: object, other: object) -> bool:
    """Equality that does not take 1 for true."""
    return one == other and isinstance(one, bool) == isinstance(other, bool)


def shown(value: object) -> str:
    """A value in a message: in one line, and short."""
    return reprlib.repr(value)


def _is_number(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return -LARGEST <= value <= LARGEST
