"""A model as files: `model.safetensors` with its tensors, `config.json` with its sizes.

The same two files are a checkpoint's, so anything that was trained can be loaded: a run's folder,
one of its checkpoints, or the weights file itself. What only training needs (heads, teacher) is
left aside.
"""

import hashlib
import json
import pickle
import re
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from stellar.config import ConfigError, ModelConfig
from stellar.configfile import from_dict
from stellar.model.history import read_history
from stellar.model.loading import WeightsError, load_weights
from stellar.model.stellar import Stellar
from stellar.model.vqgan import VQGAN
from stellar.storage import damage

WEIGHTS, CONFIG = "model.safetensors", "config.json"
TRAINING_ONLY = ("sparse_head.", "cls_head.", "teacher.")
FROZEN = ("tokenizer.",)


def save_model(folder: Path, model: Stellar, config: Mapping[str, Any] | None = None) -> None:
    """Write weights (without the frozen tokenizer) and configuration into an existing folder."""
    state = {
        name: tensor.detach().cpu().contiguous()
        for name, tensor in model.state_dict().items()
        if not name.startswith(FROZEN)
    }
    save_file(state, folder / WEIGHTS, metadata={"format": "pt"})
    content = {"model": asdict(model.config), **(config or {})}
    (folder / CONFIG).write_text(json.dumps(content, indent=2) + "\n")


def load(
    path: str | Path, device: str | torch.device = "cpu", tokenizer: str | Path | None = None
) -> Stellar:
    """A trained model, ready to encode and reconstruct.

    `path` is a run's folder (its newest checkpoint that is whole), a checkpoint's folder, or a
    `model.safetensors` with its `config.json` beside it. `tokenizer` is the MaskGIT-VQGAN's file,
    for models that reconstruct codes; by default the one named in the model's configuration, if
    it is there. Raises WeightsError with a sentence for anything else.
    """
    weights = find_weights(Path(path))
    config = read_config(weights.with_name(CONFIG))
    model = Stellar(config)
    load_weights(model, read_weights(weights), ignore=(*TRAINING_ONLY, *FROZEN))
    named = tokenizer or config.decoder.tokenizer
    if named and (tokenizer is not None or Path(named).exists()):
        model.tokenizer = load_tokenizer(Path(named))
    model.history = read_history(weights.with_name(CONFIG))
    return model.to(device).eval().requires_grad_(False)


def find_weights(path: Path) -> Path:
    """The weights file that a path stands for. Raises WeightsError when there is none."""
    if path.is_file():
        if path.suffix != ".safetensors":
            raise WeightsError(
                f"{path} is not a .safetensors file; expected a run folder or {WEIGHTS}"
            )
        return path
    if not path.is_dir():
        raise WeightsError(
            f"{path} does not exist; expected a run folder, a checkpoint or {WEIGHTS}"
        )
    if (path / WEIGHTS).is_file():
        return path / WEIGHTS
    found = checkpoints(path)
    whole = [folder for folder in reversed(found) if damage(folder) is None]
    if not whole:
        state = (
            f"none of its {len(found)} checkpoints is whole" if found else "it has no checkpoint"
        )
        raise WeightsError(
            f"{path} cannot be loaded: {state}; expected a run folder, or {WEIGHTS} in it"
        )
    return whole[0] / WEIGHTS


def checkpoints(run: Path) -> list[Path]:
    """A run's checkpoint folders, oldest first."""
    return sorted(
        folder
        for folder in (run / "checkpoints").glob("step-*")
        if re.fullmatch(r"step-\d+", folder.name)
    )


def read_config(path: Path) -> ModelConfig:
    """The model's part of a `config.json`. Raises WeightsError with a sentence."""
    try:
        content = json.loads(path.read_text())
        return from_dict(ModelConfig, content["model"], where=path.name)
    except FileNotFoundError:
        raise WeightsError(f"{path} is missing; the weights need it to know their sizes") from None
    except (ConfigError, KeyError, TypeError, ValueError) as error:
        raise WeightsError(f"{path} does not describe a stellar model: {error}") from error


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file. Raises WeightsError when it is damaged."""
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path} cannot be read as safetensors: {error}") from error


def load_tokenizer(path: Path) -> VQGAN:
    """The frozen MaskGIT-VQGAN, from the published pickle (tensors only, no code is run) or a
    safetensors file.
    """
    try:
        if path.suffix == ".safetensors":
            return VQGAN.from_state(load_file(path))
        return VQGAN.from_state(torch.load(path, map_location="cpu", weights_only=True))
    except FileNotFoundError:
        raise WeightsError(f"the tokenizer's file {path} does not exist") from None
    except (KeyError, RuntimeError, TypeError, ValueError, OSError, SafetensorError) as error:
        raise WeightsError(f"{path} does not hold a MaskGIT-VQGAN: {_first_line(error)}") from error
    except pickle.UnpicklingError as error:
        raise WeightsError(
            f"{path} holds more than tensors and was not opened: {_first_line(error)}"
        ) from error


def fingerprint(model: Stellar) -> str:
    """SHA-256 over the names and values of all weights that encode or reconstruct (not the
    tokenizer's).
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        if not name.startswith((*TRAINING_ONLY, *FROZEN)):
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
