"""An evaluation as the text of report.json, and back.

A score is written with the fields of its quantity beside its value, so that a reader finds a number
by what it is of. A file with a quantity that no evaluator declares is refused.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from stellar.errors import UserError
from stellar.evaluation.evaluators import EVALUATORS
from stellar.evaluation.scores import Evaluation, ModelScores, Quantity, Score
from stellar.json_text import parse_json

IDENTITY = tuple(field.name for field in fields(Quantity) if field.compare)
"""The fields by which a quantity is known."""
WRITTEN = (*IDENTITY, "name", "unit")
"""The fields of a quantity that a file holds."""


def to_json(evaluation: Evaluation) -> str:
    """Everything, as the text of a file."""
    content = asdict(evaluation)
    for model, scores in zip(content["models"], evaluation.models, strict=True):
        model["scores"] = [_written(score) for score in scores.scores]
    return json.dumps(content, indent=2) + "\n"


def read_evaluation(file: Path) -> Evaluation:
    """What `to_json` wrote into this file. Raises UserError for anything else."""
    try:
        content = parse_json(file.read_text(encoding="utf-8"))
        for model in content["models"]:
            model["scores"] = tuple(map(_read, model["scores"]))
            model["notes"] = tuple(model["notes"])
        content["models"] = tuple(ModelScores(**model) for model in content["models"])
        content["classes"] = tuple(content["classes"])
        content["protocol"] = dict(content["protocol"])
        return Evaluation(**content)
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{file} is damaged, or from another version of stellar; delete it, and its model "
            "is judged again"
        ) from error


def _written(score: Score) -> dict[str, Any]:
    content = asdict(score)
    quantity = content.pop("quantity")
    return {name: quantity[name] for name in WRITTEN} | content


def _read(content: Mapping[str, Any]) -> Score:
    """Raises KeyError where no evaluator declares the quantity, TypeError for other keys."""
    quantity = _DECLARED[Quantity(name="", **{name: content[name] for name in IDENTITY})]
    return Score(quantity, **{key: v for key, v in content.items() if key not in WRITTEN})


_DECLARED = {quantity: quantity for each in EVALUATORS for quantity in each.quantities}
"""By what they are of, whatever they are called."""
