"""The types of settings: what a field may hold, whether it comes from Python or from a file."""

from dataclasses import is_dataclass
from numbers import Integral, Real
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from stellar.config.checks import ConfigError

NONE = "none"
"""How None is written in TOML, which has no word for it."""


def settle_types(config: Any, section: str = "") -> None:
    """Brings each field of a new configuration to its type, as `converted` does. Raises
    ConfigError for a value that is of another.
    """
    for name, kind in get_type_hints(type(config)).items():
        setting, value = f"{section}.{name}" if section else name, getattr(config, name)
        try:
            settled = converted(kind, value)
        except UnicodeEncodeError:
            raise ConfigError(
                f"{setting} must be UTF-8, as run.toml is, got {value!a}; rename it, or name a "
                "link to it"
            ) from None
        except (TypeError, ValueError):
            raise ConfigError(f"{setting} must be {in_words(kind)}, got {value!r}") from None
        object.__setattr__(config, name, settled)  # it is frozen, and not in use yet


def converted(kind: Any, value: Any) -> Any:
    """`value` as the type of a field: a whole number may stand for any number, a list for a tuple,
    a path for a text and a text for a path. Raises TypeError or ValueError for anything else, and
    UnicodeEncodeError for names that are not UTF-8.
    """
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is UnionType:
        if value is None or value == NONE:
            return None
        return converted(next(part for part in arguments if part is not NoneType), value)
    if origin is Literal:
        return value  # check_choices knows them
    if origin is tuple:
        if arguments[1:] == (Ellipsis,):
            arguments = (arguments[0],) * len(value)
        return tuple(converted(part, item) for part, item in zip(arguments, value, strict=True))
    stands_for_it = {int: Integral, float: Real, str: str | Path, Path: str | Path}.get(kind, kind)
    if not isinstance(value, stands_for_it) or (isinstance(value, bool) and kind is not bool):
        raise TypeError
    if isinstance(value, str | Path):
        str(value).encode()
    return value if isinstance(value, kind) else kind(value)


def in_words(kind: Any) -> str:
    """What a field of a type must be."""
    if get_origin(kind) is UnionType:
        return " or ".join(in_words(part) for part in get_args(kind))
    if get_args(kind)[1:] == (Ellipsis,):
        return f"a list, each of them {in_words(get_args(kind)[0])}"
    if get_origin(kind) is tuple:
        return "[" + ", ".join(in_words(part) for part in get_args(kind)) + "]"
    if is_dataclass(kind):
        return f"a {getattr(kind, '__name__', kind)}"
    names = {
        int: "a whole number",
        float: "a number",
        str: "a text",
        bool: "true or false",
        Path: "a path",
    }
    return names.get(kind, '"none"')
