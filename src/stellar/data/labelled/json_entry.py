"""JSON files of annotations, field by field: what is of another kind is named, with where it is.

What is read of a file is asked for here, so that whatever a file holds, it is a DataError or it is
as the code after it takes it.
"""

import re
import reprlib
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from stellar.data.folder import DataError
from stellar.json_text import parse_json

_FILE_NAME = re.compile("[^\0\ud800-\udfff]+")
"""What a disk can have: a JSON file may also hold halves of characters."""
_brief = reprlib.Repr()
_brief.maxlevel = 1


@dataclass(frozen=True, slots=True)
class Entry:
    """An object of a JSON file. Asking for a field raises DataError where it is of another kind."""

    path: Path
    """The file."""
    fields: dict[str, Any]

    def value(self, name: str) -> Any:
        """Of any kind."""
        if name not in self.fields:
            raise self.error(f"'{name}' is missing")
        return self.fields[name]

    def number(self, name: str) -> int:
        value = self.value(name)
        if type(value) is not int:
            raise self.wrong(name, "a whole number")
        return value

    def text(self, name: str) -> str:
        value = self.value(name)
        if not isinstance(value, str):
            raise self.wrong(name, "text")
        return value

    def identity(self, name: str) -> int | str:
        """By which other entries name this one, or this one another."""
        value = self.value(name)
        if type(value) not in (int, str):
            raise self.wrong(name, "a whole number or text")
        return value

    def flag(self, name: str, missing: bool) -> bool:
        """True or false, also as 1 or 0; `missing` where there is no such field."""
        value = self.fields.get(name, missing)
        if type(value) not in (int, bool) or value not in (0, 1):
            raise self.wrong(name, "0 or 1")
        return bool(value)

    def file_name(self, name: str) -> str:
        """A path within a folder: none that leads out of it."""
        value = self.text(name)
        path = PurePath(value)
        if path.is_absolute() or ".." in path.parts or not _FILE_NAME.fullmatch(value):
            raise self.wrong(name, "the name of a file within the folder")
        return value

    def entries(self, name: str) -> list["Entry"]:
        """A list of objects."""
        value = self.value(name)
        if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
            raise self.wrong(name, "a list of objects")
        return [Entry(self.path, each) for each in value]

    def wrong(self, name: str, expected: str) -> DataError:
        """That a field is not what was expected."""
        came = reprlib.repr(self.fields[name])
        return self.error(f"'{name}' must be {expected}, but it is {came}")

    def error(self, problem: str) -> DataError:
        """That there is such a problem in this entry."""
        return DataError(f"{self.path}: {problem}, in {_brief.repr(self.fields)}")


def read_entry(path: Path) -> Entry:
    """All of a file. Raises DataError for what is no JSON object."""
    try:
        content = parse_json(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read as JSON ({error})") from error
    if not isinstance(content, dict):
        raise DataError(f"{path} must hold a JSON object, but it holds {reprlib.repr(content)}")
    return Entry(path, content)
