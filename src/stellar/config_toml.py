"""Configurations as files: a run is described by one TOML file that it can be started from again.

Tables are the dataclasses of `config/`, nested. Every wrong key or value is reported at once,
with the nearest valid name.
"""

import json
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from stellar.config import ConfigError, RunConfig, nearest

Config = TypeVar("Config")
NONE = "none"
"""How None is written in TOML, which has no word for it."""


def to_toml(config: RunConfig) -> str:
    """The whole configuration, every field present."""
    return "\n".join(_table(asdict(config), prefix="")) + "\n"


def _table(values: Mapping[str, Any], prefix: str) -> list[str]:
    lines = [f"[{prefix}]"] if prefix else []
    tables = []
    for name, value in values.items():
        if isinstance(value, Mapping):
            tables += ["", *_table(value, f"{prefix}.{name}" if prefix else name)]
        else:
            lines.append(f"{name} = {json.dumps(NONE if value is None else value)}")
    return lines + tables


def read_run_config(path: Path) -> RunConfig:
    """A run's file. Raises ConfigError with one line for each thing that is wrong in it."""
    try:
        values = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path} does not exist; --config takes the run.toml of a run") from None
    except IsADirectoryError:
        raise ConfigError(
            f"{path} is a folder; --config takes a file, as {path / 'run.toml'}"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not a TOML file: {error}") from error
    return from_dict(RunConfig, values, where=path.name)


def from_dict(kind: type[Config], values: Mapping[str, Any], where: str) -> Config:
    """A configuration from nested dicts. Raises ConfigError with one line for each thing that is
    wrong.
    """
    problems: list[str] = []
    checked = _check(kind, values, "", problems)
    if problems:
        raise ConfigError("\n".join(f"{where}: {problem}" for problem in problems))
    return _build(kind, checked)


def _check(kind: Any, values: Any, prefix: str, problems: list[str]) -> dict[str, Any]:
    """Values converted to their fields' types; what cannot be goes to `problems`."""
    if not isinstance(values, Mapping):
        problems.append(f"{prefix.rstrip('.')} must be a table of settings, got {values!r}")
        return {}
    hints = get_type_hints(kind)
    checked = {}
    for name, value in values.items():
        if name not in hints:
            problems.append(f"{prefix}{name} is not a setting{nearest(name, hints)}")
        elif is_dataclass(hints[name]):
            checked[name] = _check(hints[name], value, f"{prefix}{name}.", problems)
        else:
            try:
                checked[name] = _convert(hints[name], value)
            except (TypeError, ValueError):
                problems.append(f"{prefix}{name} must be {_describe(hints[name])}, got {value!r}")
    return checked


def _build(kind: Any, values: Mapping[str, Any]) -> Any:
    hints = get_type_hints(kind)
    return kind(
        **{
            name: _build(hints[name], value) if is_dataclass(hints[name]) else value
            for name, value in values.items()
        }
    )


def _convert(kind: Any, value: Any) -> Any:
    """`value` as the type of a field. Raises TypeError or ValueError when it is of another."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is UnionType:
        if value in (None, NONE):
            return None
        return _convert(next(part for part in arguments if part is not NoneType), value)
    if origin is Literal:
        return value  # the dataclass itself knows its choices
    if origin is tuple:
        if arguments[1:] == (Ellipsis,):
            arguments = (arguments[0],) * len(value)
        if len(value) != len(arguments):
            raise ValueError
        return tuple(_convert(part, item) for part, item in zip(arguments, value, strict=True))
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:
        raise TypeError
    return value


def _describe(kind: Any) -> str:
    if get_origin(kind) is UnionType:
        return " or ".join(_describe(part) for part in get_args(kind))
    if get_args(kind)[1:] == (Ellipsis,):
        return f"a list, each of them {_describe(get_args(kind)[0])}"
    if get_origin(kind) is tuple:
        return "[" + ", ".join(_describe(part) for part in get_args(kind)) + "]"
    names = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}
    return names.get(kind, '"none"')
