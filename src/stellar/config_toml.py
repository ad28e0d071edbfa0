"""Configurations as files: a run is described by one TOML file that it can be started from again.

Tables are the dataclasses of `config/`, nested. Every wrong key or value is reported at once,
with the nearest valid name.
"""

import json
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from stellar.config import ConfigError, RunConfig, nearest
from stellar.config.field_types import NONE, converted, in_words

Config = TypeVar("Config")
SETTINGS = "run.toml"
"""The file in a run's folder."""


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
            lines.append(f"{name} = {_value(NONE if value is None else value)}")
    return lines + tables


def _value(value: Any) -> str:
    """As JSON, which TOML reads too but for two things: escaped halves of characters beyond U+FFFF,
    and a bare DEL.
    """
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


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
    except (ValueError, RecursionError) as error:  # also for numbers of thousands of digits
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
                checked[name] = converted(hints[name], value)
            except (TypeError, ValueError):
                problems.append(f"{prefix}{name} must be {in_words(hints[name])}, got {value!r}")
    return checked


def _build(kind: Any, values: Mapping[str, Any]) -> Any:
    hints = get_type_hints(kind)
    return kind(
        **{
            name: _build(hints[name], value) if is_dataclass(hints[name]) else value
            for name, value in values.items()
        }
    )
