"""What a command was called with, as a dataclass, by tyro; and help that fits the terminal.

Two things that tyro leaves are done here: a field's docstring is one paragraph, whose line breaks
are those of the source (tyro shows them where lines are indented), and what a command says of
itself is filled to the terminal's width.
"""

import ast
import dataclasses
import sys
from collections.abc import Callable, Sequence
from inspect import getsource
from itertools import pairwise
from textwrap import dedent
from types import NoneType
from typing import Any, TypeVar, get_type_hints

import tyro
from tyro.constructors import (
    ConstructorRegistry,
    PrimitiveConstructorSpec,
    PrimitiveTypeInfo,
    StructConstructorSpec,
    StructFieldSpec,
    StructTypeInfo,
)

from stellar.cli.terminal import filled
from stellar.config.field_types import NONE
from stellar.errors import UserError

Form = TypeVar("Form")

FORMS = ConstructorRegistry()


def options_of(
    form: type[Form],
    command: str,
    arguments: Sequence[str],
    description: str,
    default: Form | None = None,
) -> Form:
    """What `stellar COMMAND` was given, as a `form`; what was not given is as in `default`. Where
    help is asked for, the program ends with it; a wrong call ends it with 2. Raises what the form
    itself refuses a value with.
    """
    missing = tyro.MISSING if default is None else default
    return _parsed(form, command, arguments, description, default=missing)


def options_and_rest_of(
    form: type[Form], command: str, arguments: Sequence[str], description: str
) -> tuple[Form, list[str]]:
    """The same, and the arguments that the `form` has no field for."""
    return _parsed(form, command, arguments, description, return_unknown_args=True)


class _Refused(Exception):
    """What a form refuses a value with, on its way past tyro, which puts every ValueError into a
    box.
    """


def _parsed(
    form: Any, command: str, arguments: Sequence[str], description: str, **more: Any
) -> Any:
    _describe(arguments, description)
    try:
        return tyro.cli(
            form, prog=f"stellar {command}", args=list(arguments), description="",
            registry=FORMS, **more,
        )  # fmt: skip
    except _Refused as refused:
        raise refused.args[0] from None
    except SystemExit as ended:
        if ended.code:
            _hint_at_dashes(arguments)
        raise


def _hint_at_dashes(arguments: Sequence[str]) -> None:
    """Of a wrong call, where a value was taken for an option."""
    for option, value in pairwise(arguments):
        named = option.startswith("--") and "=" not in option
        if named and value[:1] == "-" and value[1:2].isalpha():
            print(f"if {value} is the value of {option}: {option}={value}", file=sys.stderr)


def _describe(arguments: Sequence[str], description: str) -> None:
    """Where help is asked for, says what the command does; tyro has the rest. Indented paragraphs
    are commands to copy, and stay as they are.
    """
    end = arguments.index("--") if "--" in arguments else len(arguments)
    if {"-h", "--help"} & set(arguments[:end]):
        paragraphs = description.split("\n\n")
        shown = (part if part.startswith(" ") else filled(part) for part in paragraphs)
        print("\n\n".join(shown), end="\n\n")


@FORMS.struct_rule
def _dataclass(info: StructTypeInfo) -> StructConstructorSpec | None:
    """A dataclass as tyro takes it, with the docstring of each field as one paragraph."""
    if not dataclasses.is_dataclass(info.type):
        return None
    types, texts = get_type_hints(info.type, include_extras=True), docstrings(info.type)
    return StructConstructorSpec(
        instantiate=_past_tyro(info.type),
        fields=tuple(
            StructFieldSpec(
                name=field.name,
                type=types[field.name],
                default=_default(field, info.default),
                helptext=texts.get(field.name),
            )
            for field in dataclasses.fields(info.type)
        ),
    )


def _past_tyro(form: Callable[..., Form]) -> Callable[..., Form]:
    """Makes a form of its fields; what it refuses them with is said as it is."""

    def make(**fields: Any) -> Form:
        try:
            return form(**fields)
        except UserError as error:
            raise _Refused(error) from error

    return make


@FORMS.primitive_rule
def _none(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[None] | None:
    """None as run.toml writes it, in any case."""
    if info.type is not NoneType:
        return None
    return PrimitiveConstructorSpec(
        nargs=1,
        metavar=NONE,
        instance_from_str=lambda given: _read_none(given[0]),
        is_instance=lambda value: value is None,
        str_from_instance=lambda _: [NONE],
    )


def _read_none(given: str) -> None:
    if given.lower() != NONE:
        raise ValueError(f"{given} is not {NONE}")


def _default(field: "dataclasses.Field[Any]", of_all: Any) -> Any:
    if dataclasses.is_dataclass(of_all):
        return getattr(of_all, field.name)
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return tyro.MISSING if field.default is dataclasses.MISSING else field.default


def docstrings(form: type) -> dict[str, str]:
    """The docstring of every field, of those that are inherited too, without its line breaks."""
    found = {}
    for each in reversed(form.__mro__):
        if dataclasses.is_dataclass(each):
            (written,) = ast.parse(dedent(getsource(each))).body
            assert isinstance(written, ast.ClassDef)
            for field, text in pairwise(written.body):
                match field, text:
                    case (
                        ast.AnnAssign(target=ast.Name(id=name)),
                        ast.Expr(value=ast.Constant(value=str(said))),
                    ):
                        found[name] = " ".join(said.split())
    return found
