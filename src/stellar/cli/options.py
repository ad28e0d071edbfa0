"""What a command was called with, as a dataclass, by tyro; and help that fits the terminal.

Two things that tyro leaves are done here: a field's docstring is one paragraph, whose line breaks
are those of the source (tyro shows them where lines are indented), and what a command says of
itself is filled to the terminal's width.
"""

import ast
import dataclasses
from collections.abc import Sequence
from inspect import getsource
from itertools import pairwise
from textwrap import dedent
from typing import Any, TypeVar, get_type_hints

import tyro
from tyro.constructors import (
    ConstructorRegistry,
    StructConstructorSpec,
    StructFieldSpec,
    StructTypeInfo,
)

from stellar.cli.terminal import filled

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
    help is asked for, the program ends with it.
    """
    _describe(arguments, description)
    return tyro.cli(
        form,
        prog=f"stellar {command}",
        args=list(arguments),
        default=tyro.MISSING if default is None else default,
        description="",
        registry=FORMS,
    )


def options_and_rest_of(
    form: type[Form], command: str, arguments: Sequence[str], description: str
) -> tuple[Form, list[str]]:
    """The same, and the arguments that the `form` has no field for."""
    _describe(arguments, description)
    return tyro.cli(
        form,
        prog=f"stellar {command}",
        args=list(arguments),
        description="",
        registry=FORMS,
        return_unknown_args=True,
    )


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
        instantiate=info.type,
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
