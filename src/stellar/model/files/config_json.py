"""`config.json` of a model: its sizes, how it was trained, and how it came about."""

import logging
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from stellar.config import ConfigError, ModelConfig, ObjectiveConfig
from stellar.config_toml import from_dict
from stellar.json_text import parse_json
from stellar.model.files.strict_loading import WeightsError
from stellar.model.history import History

logger = logging.getLogger(__name__)
CONFIG = "config.json"
"""What the file is called, beside the weights."""
LATER = {"gated_mlp", "rope_theta"}
"""Settings that models had no choice of when the first files were written: their defaults are what
those models are.
"""
HISTORY = "history"
"""The key in it under which a `History` lies."""


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object; empty when the file is missing. Raises WeightsError."""
    try:
        content = parse_json(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise WeightsError(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(content, dict):
        raise WeightsError(f"{path} does not describe a model: it holds no table")
    return content


def read_config(path: Path) -> tuple[ModelConfig, ObjectiveConfig | None]:
    """The model's part of our `config.json`, and the objective's when it was trained. Raises
    WeightsError with a sentence.
    """
    if not path.exists():
        raise WeightsError(f"{path} is missing; the weights need it to know their sizes")
    content = read_json(path)
    if "model" not in content:
        raise WeightsError(f"{path} does not describe a stellar model: it has no table `model`")
    try:
        model = from_dict(ModelConfig, content["model"], where=path.name)
        objective = content.get("objective")
        trained = from_dict(ObjectiveConfig, objective, where=path.name) if objective else None
    except (ConfigError, TypeError, ValueError) as error:
        raise WeightsError(f"{path} does not describe a stellar model: {error}") from error
    _tell_missing(content["model"], path)
    return model, trained


def _tell_missing(settings: Mapping[str, Any], path: Path) -> None:
    """A log line where settings that decide what a model computes have to be guessed."""
    missing = {each.name for each in fields(ModelConfig)} - LATER - settings.keys()
    if missing:
        logger.warning(
            "%s says nothing of %s; the defaults are taken", path, ", ".join(sorted(missing))
        )


def read_history(path: Path) -> History | None:
    """The history in a `config.json`; None when there is none. Raises WeightsError."""
    content = read_json(path).get(HISTORY)
    try:
        return None if content is None else History(**content)
    except (TypeError, ValueError) as error:
        raise WeightsError(f"{path} tells no history that can be read: {error}") from error
