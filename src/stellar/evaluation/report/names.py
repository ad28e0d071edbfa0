"""The names of models, as people read them: the last parts of paths and ids."""

from collections.abc import Sequence
from dataclasses import replace

from stellar.evaluation.scores import Evaluation

LONGEST = 24
"""Letters of a name."""


def shortly_named(evaluation: Evaluation) -> Evaluation:
    """The same numbers, of models that bear their short names."""
    names = short_names([model.name for model in evaluation.models])
    models = zip(evaluation.models, names, strict=True)
    return replace(evaluation, models=tuple(replace(model, name=name) for model, name in models))


def short_names(names: Sequence[str]) -> list[str]:
    """The last parts of paths and ids, cut in the middle where they are long, all different."""
    last = [name.rstrip("/").rpartition("/")[2] or name for name in names]
    parts = last if len(set(last)) == len(last) else names
    short = [_cut(part, LONGEST) for part in parts]
    if len(set(short)) == len(short):
        return short
    return [f"{place}: {_cut(part, LONGEST - 4)}" for place, part in enumerate(parts, 1)]


def _cut(name: str, length: int) -> str:
    if len(name) <= length:
        return name
    half = (length - 1) // 2
    return f"{name[: length - 1 - half]}…{name[-half:]}"
