"""What a resumed run keeps: the settings that its result depends on, which its checkpoints tell."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from stellar.config import ConfigError, RunConfig
from stellar.config_toml import SETTINGS
from stellar.json_text import parse_json
from stellar.model.files.config_json import CONFIG, read_json

SECTIONS = ("model", "objective", "views", "training")
"""Tables of a run's settings that its checkpoints have too. The pictures are compared by what they
are, not by where they lie, and `init` was read before the first step.
"""
FREE = {
    "model.decoder.tokenizer",  # where a file lies
    # How a step is computed, with the same result.
    "training.parallel", "training.views_at_once", "training.compile", "training.cuda_graph",
    "training.recompute", "training.attention", "training.pack_views", "training.num_workers",
    # What is said and kept of a run, and when it is given up.
    "training.log_every", "training.tensorboard", "training.sample_every",
    "training.checkpoint_every", "training.keep_every", "training.max_skipped_steps",
}  # fmt: skip
"""Settings that a resumed run may have others of."""


def told_settings(config: RunConfig) -> dict[str, Any]:
    """What a checkpoint tells of its run, as it is read again from JSON."""
    whole = parse_json(json.dumps(asdict(config)))
    return {section: whole[section] for section in SECTIONS}


def require_kept(checkpoint: Path, config: RunConfig) -> None:
    """Raises ConfigError when the checkpoint was made with other settings, as far as it tells: one
    from an earlier version has its model and objective alone.
    """
    run = checkpoint.parents[1]
    told = read_json(checkpoint / CONFIG)
    before = {section: told.get(section, {}) for section in SECTIONS}
    changed = [
        f"{name} = {json.dumps(value)} (was {json.dumps(was)})"
        for name, (was, value) in differing(before, told_settings(config)).items()
        if name not in FREE
    ]
    if changed:
        raise ConfigError(
            f"a resumed run keeps its settings, and {run / SETTINGS} has others than "
            f"{checkpoint.name} was made with: {', '.join(changed)}; change them back, or start a "
            f"new run with --init {run}"
        )


def differing(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """The settings that both tables have, by full names, where their values differ: both values."""
    values = dict(_named(now))
    return {
        name: (value, values[name])
        for name, value in _named(before)
        if name in values and value != values[name]
    }


def _named(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Each setting by its full name, as `training.seed`."""
    for name, value in table.items():
        if isinstance(value, Mapping):
            yield from _named(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
