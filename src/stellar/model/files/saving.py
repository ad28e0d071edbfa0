"""A model as files: `model.safetensors` with its tensors, `config.json` with its sizes.

The same two files are a checkpoint's, so anything that was trained can be loaded: a run's folder,
one of its checkpoints, or the weights file itself.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from stellar.config import ConfigError, ModelConfig, ObjectiveConfig
from stellar.configfile import from_dict
from stellar.model.files.loading import WeightsError
from stellar.model.files.reading import find_file, read_json
from stellar.model.stellar import Stellar
from stellar.processes.sharded import gathered
from stellar.storage import damage

WEIGHTS, CONFIG = "model.safetensors", "config.json"
TRAINING_ONLY = ("sparse_head.", "cls_head.", "mask_token", "teacher.")
FROZEN = ("tokenizer.",)


def save_model(
    folder: Path,
    model: Stellar,
    config: Mapping[str, Any] | None = None,
    tensors: dict[str, Tensor] | None = None,
) -> None:
    """Write weights (without the frozen tokenizer) and configuration into an existing folder;
    `tensors` are the weights where they were gathered before.
    """
    tensors = own_tensors(model) if tensors is None else tensors
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})
    content = {"model": asdict(model.config), **(config or {})}
    (folder / CONFIG).write_text(json.dumps(content, indent=2) + "\n")


def own_tensors(model: nn.Module) -> dict[str, Tensor]:
    """What is saved of a model, on the CPU: everything but the frozen tokenizer. In a run, the
    first process gets it; where the model is sharded, all must ask for it.
    """
    state = model.state_dict().items()
    return gathered((name, tensor) for name, tensor in state if not name.startswith(FROZEN))


def find_weights(path: Path) -> Path:
    """The weights file that a path stands for: a file, a run's newest whole checkpoint, or what a
    folder holds. Raises WeightsError when there is none.
    """
    if not path.is_dir() or (path / WEIGHTS).is_file():
        return find_file(path)
    found = checkpoints(path)
    whole = [folder for folder in reversed(found) if damage(folder) is None]
    if whole:
        return whole[0] / WEIGHTS
    if found:
        raise WeightsError(
            f"{path} cannot be loaded: none of its {len(found)} checkpoints is whole"
        )
    listed = [path / entry["weights"] for entry in read_manifest(path / CONFIG).values()]
    there = [file for file in listed if file.is_file()]
    return there[0] if len(there) == 1 else find_file(path)


def checkpoints(run: Path) -> list[Path]:
    """A run's checkpoint folders, oldest first."""
    return sorted(
        folder
        for folder in (run / "checkpoints").glob("step-*")
        if re.fullmatch(r"step-\d+", folder.name)
    )


def read_config(path: Path) -> tuple[ModelConfig, ObjectiveConfig | None]:
    """The model's part of our `config.json`, and the objective's when it was trained. Raises
    WeightsError with a sentence.
    """
    if not path.exists():
        raise WeightsError(f"{path} is missing; the weights need it to know their sizes")
    content = read_json(path)
    try:
        objective = content.get("objective")
        return (
            from_dict(ModelConfig, content["model"], where=path.name),
            from_dict(ObjectiveConfig, objective, where=path.name) if objective else None,
        )
    except (ConfigError, KeyError, TypeError, ValueError) as error:
        raise WeightsError(f"{path} does not describe a stellar model: {error}") from error


def read_manifest(path: Path) -> dict[str, dict[str, Any]]:
    """The table `models` of a published `config.json`; empty when there is none. Raises
    WeightsError.
    """
    models = read_json(path).get("models", {})
    if not isinstance(models, dict) or not all(
        isinstance(entry, dict) and _is_file_name(entry.get("weights")) for entry in models.values()
    ):
        raise WeightsError(f"{path} is not a manifest: each of its models must name its file")
    return models


def _is_file_name(value: Any) -> bool:
    return isinstance(value, str) and Path(value).name == value


def fingerprint(model: nn.Module) -> str:
    """SHA-256 over the names and values of the weights that make an image's factors: encoder and
    factorization.
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        if name.startswith(("encoder.", "factorization.")):
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
