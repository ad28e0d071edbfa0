"""An edit, step by step: as the page sends it, as it is done, and as the lines of Python that do
the same.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jaxtyping import Float
from torch import Tensor

from stellar.config_toml import from_dict
from stellar.exploring.gallery import Opening
from stellar.model import Factors, edits

MOST_STEPS = 1000

TokenOf = Callable[[str, int], Float[Tensor, "D"]]
"""A token of a picture, by the picture's key and the token's number."""


@dataclass(frozen=True)
class Replace:
    """A token becomes what a token of a picture is."""

    token: int
    picture: str
    other: int

    def done(self, factors: Factors, token_of: TokenOf) -> Factors:
        return edits.replaced(factors, self.token, token_of(self.picture, self.other)[None])


@dataclass(frozen=True)
class Paint:
    """A token holds this share of some patches."""

    token: int
    patches: tuple[int, ...]
    share: float

    def done(self, factors: Factors, _: TokenOf) -> Factors:
        return edits.painted(factors, self.token, self.patches, self.share)


@dataclass(frozen=True)
class Scale:
    """A token counts more or less against the others."""

    token: int
    factor: float

    def done(self, factors: Factors, _: TokenOf) -> Factors:
        return edits.scaled(factors, self.token, self.factor)


@dataclass(frozen=True)
class Move:
    """A token's map is moved by some patches."""

    token: int
    rows: int
    columns: int

    def done(self, factors: Factors, _: TokenOf) -> Factors:
        return edits.moved(factors, self.token, self.rows, self.columns)


@dataclass(frozen=True)
class Duplicate:
    """A token is there once more, moved by some patches."""

    token: int
    rows: int
    columns: int

    def done(self, factors: Factors, _: TokenOf) -> Factors:
        return edits.duplicated(factors, self.token, self.rows, self.columns)


Step = Replace | Paint | Scale | Move | Duplicate
KINDS: dict[str, type[Step]] = {
    "replace": Replace, "paint": Paint, "scale": Scale, "move": Move, "duplicate": Duplicate,
}  # fmt: skip


def read_steps(given: Any) -> list[Step]:
    """Steps as JSON has them: objects with their kind and its fields. Raises EditError, ConfigError
    for a wrong field.
    """
    if not isinstance(given, list) or len(given) > MOST_STEPS:
        raise edits.EditError(f"an edit is a list of at most {MOST_STEPS:,} steps")
    return [_read(place, step) for place, step in enumerate(given, 1)]


def _read(place: int, given: Any) -> Step:
    kind = given.get("kind") if isinstance(given, Mapping) else None
    if not isinstance(kind, str) or kind not in KINDS:
        raise edits.EditError(f"step {place} must be one of {', '.join(KINDS)}, got {kind!r}")
    fields = {name: value for name, value in given.items() if name != "kind"}
    missing = KINDS[kind].__dataclass_fields__.keys() - fields.keys()
    if missing:
        raise edits.EditError(f"step {place} ({kind}) needs {', '.join(sorted(missing))}")
    try:
        return from_dict(KINDS[kind], fields, where=f"step {place}")
    except OverflowError as error:
        raise edits.EditError(f"step {place} ({kind}) has a number that is too large") from error


def as_python(
    loading: str,
    fit: str,
    picture: Opening,
    steps: Sequence[Step],
    opening: Callable[[str], Opening],
) -> str:
    """The lines that do the same: `loading` is the call that loads the model, `opening` says how a
    picture is read.
    """
    others = [opening(step.picture) for step in steps if isinstance(step, Replace)]
    imports = dict.fromkeys(line for one in (picture, *others) for line in one.imports)
    before = dict.fromkeys(line for one in (picture, *others) for line in one.before)
    return "\n".join(
        [
            "import stellar",
            *(["from stellar.model import edits"] if steps else []),
            *imports,
            "",
            f"model = {loading}",
            *before,
            f"factors = model.encode({picture.picture}, fit={fit!r})",
            *(_line(step, fit, opening) for step in steps),
            "picture = model.reconstruct(factors)[0]  # 3 x height x width, in [0, 1]",
            "",
        ]
    )


def _line(step: Step, fit: str, opening: Callable[[str], Opening]) -> str:
    match step:
        case Replace():
            encoded = f"model.encode({opening(step.picture).picture}, fit={fit!r})"
            what = f"replaced(factors, {step.token}, {encoded}.sparse[:, {step.other}])"
        case Paint():
            patches = f"[{', '.join(map(str, step.patches))}]"
            what = f"painted(factors, {step.token}, {patches}, share={step.share!r})"
        case Scale():
            what = f"scaled(factors, {step.token}, {step.factor!r})"
        case Move() | Duplicate():
            name = "moved" if isinstance(step, Move) else "duplicated"
            what = f"{name}(factors, {step.token}, rows={step.rows}, columns={step.columns})"
    return f"factors = edits.{what}"
