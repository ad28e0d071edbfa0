"""Which annotations of stellar are checked while the tests run, and how: all of them, by beartype.

Shapes belong together within a call, and jaxtyping keeps them so. That takes longer than many a
function, so one without a shape among its annotations is left to beartype alone.
"""

from collections.abc import Callable
from functools import partial, wraps
from inspect import isclass, isfunction
from typing import Any, get_args

import jaxtyping
from beartype import beartype

_jaxtyped = jaxtyping.jaxtyped


def check_annotations() -> None:
    """Of every module of stellar that is imported from here on."""
    jaxtyping.jaxtyped = _checked  # what the hook decorates everything with
    jaxtyping.install_import_hook("stellar", "beartype.beartype")


def _checked(function: Any = None, *, typechecker: Callable) -> Any:
    if function is None:
        return partial(_checked, typechecker=typechecker)
    if isfunction(function) and not any(map(_has_shapes, function.__annotations__.values())):
        return _checked_without_shapes(function)
    return _jaxtyped(function, typechecker=typechecker)


def _has_shapes(annotation: Any) -> bool:
    """Whether it is of an array or of something that holds some. What is only named may be."""
    if isinstance(annotation, str):
        return True
    is_array = isclass(annotation) and issubclass(annotation, jaxtyping.AbstractArray)
    return is_array or any(map(_has_shapes, get_args(annotation)))


def _checked_without_shapes(function: Callable) -> Callable:
    strict = beartype(function)

    @wraps(function)
    def checked(*arguments: Any, **named: Any) -> Any:
        taken = function if jaxtyping.config.jaxtyping_disable else strict
        return taken(*arguments, **named)

    return function if strict is function else checked
