"""A model by its name or its path: one that comes with the package, a published one, a run, or a
file of weights.

Opening a model reads its configuration and the names of its tensors; a tensor is read when it is
asked for. A path never leads to a network call.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from stellar.config import ModelConfig, ObjectiveConfig, nearest
from stellar.model.files.hub import fetch
from stellar.model.files.loading import WeightsError
from stellar.model.files.manifest import read_sizes
from stellar.model.files.published import PUBLISHED
from stellar.model.files.reading import open_state
from stellar.model.files.saving import CONFIG, find_weights, read_config, read_manifest

REPOSITORY = "microsoft/STELLAR"
"""The hub repository of the published models."""
HUB = "hf://"
"""What says that a model's name is that of a hub repository, not a path."""
NAMES = ("stellar-b16", "stellar-l16", "stellar-h16", "stellar-b8", "stellar-b24")
"""The published models."""
SHIPPED = {"stellar-scenes": Path(__file__).parents[2] / "shipped/scenes"}
"""The models that come with the package, and their folders."""


@dataclass(frozen=True)
class ModelFile:
    """A model on the disk."""

    path: Path
    """The file of its weights."""
    config: ModelConfig
    objective: ObjectiveConfig | None
    """How it was trained, when the file holds the heads."""
    state: Mapping[str, Tensor]
    """Its tensors under our names, read when they are asked for."""
    published: bool
    """It was found by its name, on the hub or in the hub's cache."""


def open_model(
    model: str | Path, revision: str | None = None, local_files_only: bool = False
) -> ModelFile:
    """Find a model: the name of one that comes with the package or is published, a hub repository
    (hf://you/photos), a run's folder (its newest whole checkpoint), or a file or folder of weights,
    ours or in the published layout.

    A path that exists goes before a name. `revision` pins a published model to a branch, tag or
    commit of its repository; with `local_files_only` it comes from the hub's cache. Raises
    WeightsError with a sentence.
    """
    path, exists = Path(model), os.path.lexists(model)
    if str(model) in NAMES and not exists:
        return _open(_download(str(model), revision, local_files_only), published=True)
    if str(model) == REPOSITORY and not exists:
        raise WeightsError(f"{model} holds several models; name one: {', '.join(NAMES)}")
    if str(model).startswith(HUB):
        folder = fetch(str(model).removeprefix(HUB), revision, local_files_only)
        return _open(find_weights(folder), published=True)
    if str(model) in SHIPPED and not exists:
        path, exists = SHIPPED[str(model)], True
    if not exists:
        names = (*SHIPPED, *NAMES)
        raise WeightsError(
            f"{model} does not exist, and is no published model{nearest(str(model), names)}; "
            "expected a run folder, a checkpoint, a file of weights, a hub repository as "
            f"hf://you/photos, or {', '.join(names)}"
        )
    if revision is not None:
        raise WeightsError(
            f"a revision belongs to a published model, and {model} lies on this machine; "
            "leave it out"
        )
    try:
        return _open(find_weights(path), published=False)
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror}") from error


def _download(name: str, revision: str | None, local_files_only: bool) -> Path:
    folder = fetch(REPOSITORY, revision, local_files_only, (CONFIG,))
    models = read_manifest(folder / CONFIG)
    if name not in models:
        raise WeightsError(
            f"{name} is not among the models of {REPOSITORY} at {revision or 'main'}: "
            f"{', '.join(models) or 'none'}"
        )
    weights = models[name]["weights"]
    commit = folder.name  # of the manifest that was read, whatever is pushed meanwhile
    return fetch(REPOSITORY, commit, local_files_only, (weights,)) / weights


def _open(path: Path, published: bool) -> ModelFile:
    state, config_file = open_state(path), path.with_name(CONFIG)
    if any(name.startswith("encoder.blocks.") for name in state):
        return ModelFile(path, *read_config(config_file), state, published)
    try:
        state = PUBLISHED.view(state)
    except WeightsError as error:
        raise WeightsError(f"{path} is no model of stellar: {error}") from error
    entries = read_manifest(config_file).values()
    entry = next((entry for entry in entries if entry["weights"] == path.name), None)
    if entry is None and config_file.exists():
        return ModelFile(path, *read_config(config_file), state, published)
    return ModelFile(path, *read_sizes(state, entry or {}, path), state, published)
