"""Files of weights, whoever wrote them, as named tensors: safetensors, whole or in shards, and
torch's pickles.

Tensors of a safetensors file are read one by one, when they are asked for, so that what is not
needed costs nothing. A pickle is opened for its tensors and what is as harmless: one that asks for
anything else is refused, and none of its code runs.
"""

import _codecs
import logging
import pickle
import re
import warnings
import zipfile
from argparse import Namespace
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from stellar.json_text import parse_json
from stellar.model.files.prefixes import NESTED, without_training_state, without_wrappers
from stellar.model.files.strict_loading import WeightsError

logger = logging.getLogger(__name__)


class TensorFiles(Mapping[str, Tensor]):
    """The tensors of some safetensors files, each read from the disk when it is asked for."""

    def __init__(self, paths: list[Path]) -> None:
        self._file_of = {name: file for file in map(_open, paths) for name in file.keys()}  # noqa: SIM118

    def __getitem__(self, name: str) -> Tensor:
        return self._file_of[name].get_tensor(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._file_of)

    def __len__(self) -> int:
        return len(self._file_of)


def read_state(path: Path) -> dict[str, Tensor]:
    """All tensors of a file (see `open_state`), in memory."""
    return dict(open_state(path))


def open_state(path: Path) -> Mapping[str, Tensor]:
    """The tensors of one file (.safetensors, .bin, .pt, .pth, .ckpt), or of the shards that an
    index names; `locating` finds the file of a folder.

    Training state around the model, and prefixes that every name has (`module.`, Lightning's
    `model.`), are taken off. Raises WeightsError with a sentence for anything that cannot be read,
    and for a pickle that holds more than tensors.
    """
    logger.info("weights of %s", path)
    if path.name.endswith(".index.json"):
        state = _open_shards(path)
    elif path.suffix == ".safetensors":
        state = TensorFiles([path])
    else:
        state = _unpickle(path)
    return without_wrappers(state)


def _open(path: Path) -> Any:
    # Read, not mapped: the tensors stay what they are when the file is replaced or cut short.
    try:
        path.open("rb").close()  # safetensors says of all that it cannot open that it is not there
        return safe_open(path, "pt", backend="pread")
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path} cannot be read as safetensors: {error}") from error


def _open_shards(index: Path) -> Mapping[str, Tensor]:
    try:
        shard_of = parse_json(index.read_text("utf-8"))["weight_map"]
        shards = sorted({index.with_name(Path(name).name) for name in shard_of.values()})
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise WeightsError(f"{index} is not an index of shards: {error!r}") from error
    absent = [shard.name for shard in shards if not shard.is_file()]
    if absent:
        raise WeightsError(
            f"{index.parent} lacks {', '.join(absent)}, which {index.name} names; "
            "copy or download it again"
        )
    if all(shard.suffix == ".safetensors" for shard in shards):
        state: Mapping[str, Tensor] = TensorFiles(shards)
    else:
        state = {name: tensor for shard in shards for name, tensor in _unpickle(shard).items()}
    lost = sorted(shard_of.keys() - state.keys())
    if lost:
        raise WeightsError(f"{lost[0]} is not in {shard_of[lost[0]]}, where {index.name} puts it")
    return state


def _unpickle(path: Path) -> dict[str, Tensor]:
    content = without_training_state(_load(path))
    if not isinstance(content, Mapping) or not content:
        raise WeightsError(f"{path} holds no named tensors; expected a state dict")
    strange = [name for name, value in content.items() if not isinstance(value, Tensor)]
    if strange:
        raise WeightsError(
            f"{path} does not hold a state dict: {strange[0]!r} is not a tensor, "
            f"and none of {', '.join(NESTED)} is there"
        )
    return dict(content)


def harmless() -> list[Any]:
    """What training checkpoints hold beside tensors and plain values, and cannot do anything:
    command lines, and numpy's numbers and arrays, under the names of both of its generations.
    """
    try:
        core = import_module("numpy._core.multiarray")
    except ModuleNotFoundError:  # numpy 1
        core = import_module("numpy.core.multiarray")
    numbers = {np.dtype(kind) for kind in np.sctypeDict.values()}  # numpy 1 has other keys as well
    kinds = [type(number) for number in numbers if number.kind in "biufc?"]
    named = [
        (function, f"numpy.{module}.multiarray.{function.__name__}")
        for function in (core.scalar, core._reconstruct)
        for module in ("core", "_core")
    ]
    return [Namespace, np.dtype, np.ndarray, *set(kinds), *named, _codecs.encode]


def _load(path: Path) -> Any:
    """What a pickle holds, as long as it is tensors, plain values, and what is harmless."""
    try:
        with warnings.catch_warnings(action="ignore"):  # about pickle protocols
            is_zip = zipfile.is_zipfile(path)
            with torch.serialization.safe_globals(harmless()):
                return torch.load(path, map_location="cpu", weights_only=True, mmap=is_zip)
    except pickle.UnpicklingError as error:
        wanted = re.search(r"GLOBAL (\S+)", str(error))
        if wanted:
            raise WeightsError(
                f"{path} is a pickle that asks for {wanted[1]}, which is no tensor and no plain "
                "value; nothing of it was run. If you trust it, open it by its own code, and save "
                "its tensors with safetensors.torch.save_file"
            ) from error
        raise WeightsError(
            f"{path} is damaged, or a pickle of something else than tensors; nothing of it was run"
        ) from error
    except (RuntimeError, ValueError, EOFError, OSError, KeyError, IndexError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is damaged or cut short"
        raise WeightsError(f"{path} cannot be read: {reason}") from error
