"""A model as files: `model.safetensors` with its tensors, `config.json` with its sizes.

The same two files are a checkpoint's, so anything that was trained can be loaded: a run's folder,
one of its checkpoints, or the weights file itself.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor, nn

from stellar.model.files.config_json import CONFIG
from stellar.model.files.locating import WEIGHTS
from stellar.model.files.prefixes import FROZEN
from stellar.model.stellar import Stellar
from stellar.processes.sharded import gathered


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
    (folder / CONFIG).write_text(json.dumps(content, indent=2) + "\n", "utf-8")


def own_tensors(model: nn.Module) -> dict[str, Tensor]:
    """What is saved of a model, on the CPU: everything but the frozen tokenizer. In a run, the
    first process gets it; where the model is sharded, all must ask for it.
    """
    state = model.state_dict().items()
    return gathered((name, tensor) for name, tensor in state if not name.startswith(FROZEN))
