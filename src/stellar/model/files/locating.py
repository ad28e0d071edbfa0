"""The file of weights that a name or a path stands for. Only here anything is downloaded.

What is on this machine never leads to a network call, and neither does a path that leads nowhere,
except where a hub id is expected: `locate` and `locate_backbone` say so.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from stellar.config import nearest
from stellar.model.files.config_json import CONFIG
from stellar.model.files.hub import HUB, fetch, is_hub_id
from stellar.model.files.known_models import (
    NAMES,
    REPOSITORY,
    SHIPPED,
    TOKENIZER_FILE,
    TOKENIZER_REPOSITORY,
)
from stellar.model.files.manifest import read_manifest
from stellar.model.files.strict_loading import WeightsError
from stellar.storage import at_home, damage, permitted

WEIGHTS = "model.safetensors"
"""What the weights of a model of ours are called."""
USUAL_NAMES = (
    WEIGHTS,
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
"""What a folder's weights are called, in the order of preference."""
PICKLE_SUFFIXES = (".bin", ".pt", ".pth", ".ckpt")


@dataclass(frozen=True)
class Located:
    """A file of weights on this machine."""

    path: Path
    from_hub: bool
    """It was named by what it is called on the hub, and lies in the hub's cache."""


def locate(
    source: str | Path, revision: str | None = None, local_files_only: bool = False
) -> Located:
    """Anything that can be named: a model, as in `locate_model`, or a hub id of whatever kind, such
    as `facebook/vit-mae-base`, which is downloaded. Raises WeightsError with a sentence.
    """
    if is_hub_id(str(source)) and str(source) != REPOSITORY:
        return locate_backbone(source, revision, local_files_only)
    return locate_model(source, revision, local_files_only)


def locate_model(
    model: str | Path, revision: str | None = None, local_files_only: bool = False
) -> Located:
    """The name of a model that comes with the package or is published, a hub repository
    (hf://you/photos), a run's folder (its newest whole checkpoint), or a file or folder of weights.

    A path that exists goes before a name. `revision` pins a published model to a branch, tag or
    commit of its repository; with `local_files_only` it comes from the hub's cache. Raises
    WeightsError with a sentence.
    """
    if not isinstance(model, str | Path):
        raise WeightsError(
            f"a model is a name or a path, as stellar-scenes or runs/photos, got {model!r}"
        )
    name = model = at_home(model)
    exists = _is_there(model)
    if name in NAMES and not exists:
        return Located(_download(name, revision, local_files_only), from_hub=True)
    if name == REPOSITORY and not exists:
        raise WeightsError(f"{model} holds several models; name one: {', '.join(NAMES)}")
    if name.startswith(HUB):
        folder = fetch(name.removeprefix(HUB), revision, local_files_only)
        return Located(find_weights(folder), from_hub=True)
    if not exists and name not in SHIPPED:
        names = (*SHIPPED, *NAMES)
        raise WeightsError(
            f"{model} does not exist, and is no published model{nearest(name, names) or '.'} "
            "Expected a run folder, a checkpoint, a file of weights, a hub repository as "
            f"hf://you/photos, or {', '.join(names)}"
        )
    _refuse_revision(revision, model)
    return Located(find_weights(Path(model) if exists else SHIPPED[name]), from_hub=False)


def locate_backbone(
    source: str | Path, revision: str | None = None, local_files_only: bool = False
) -> Located:
    """A folder, a file, or a hub id, which is downloaded into the hub's cache. Raises
    WeightsError.
    """
    source = at_home(source)
    if is_hub_id(str(source)):
        return Located(find_weights(fetch(str(source), revision, local_files_only)), from_hub=True)
    if _is_there(source):
        _refuse_revision(revision, source)
        return Located(find_weights(Path(source)), from_hub=False)
    if source in (*SHIPPED, *NAMES):
        raise WeightsError(f"{source} is a STELLAR model; load it with stellar.load")
    raise WeightsError(
        f"{source} does not exist; expected a folder, a file or a hub id such as "
        "facebook/vit-mae-base"
    )


def _is_there(path: str) -> bool:
    """Whether something lies there, if only a link to nothing. Raises WeightsError where a folder
    lets nobody look.
    """
    with permitted(path, WeightsError):
        try:
            os.lstat(path)
        except PermissionError:
            raise
        except (OSError, ValueError):  # also for what can be no path
            return False
    return True


def _refuse_revision(revision: str | None, local: str) -> None:
    """Raises WeightsError: files of this machine have none."""
    if revision is not None:
        raise WeightsError(
            f"a revision belongs to a published model, and {local} lies on this machine; "
            "leave it out"
        )


def locate_tokenizer(local_files_only: bool = False) -> Path:
    """The published MaskGIT-VQGAN in the hub's cache, downloaded where needed. Raises
    WeightsError.
    """
    folder = fetch(TOKENIZER_REPOSITORY, None, local_files_only, (TOKENIZER_FILE,))
    return folder / TOKENIZER_FILE


def find_weights(path: Path) -> Path:
    """The weights file that a path stands for: a file, a run's newest whole checkpoint, or what a
    folder holds. Raises WeightsError when there is none.
    """
    try:
        return _find_weights(path)
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror}") from error


def _find_weights(path: Path) -> Path:
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


def find_file(path: Path) -> Path:
    """The file that holds the weights of a folder, or the file itself. Raises WeightsError."""
    if path.is_dir():
        named = [path / name for name in USUAL_NAMES if (path / name).is_file()]
        others = sorted(
            file
            for file in path.iterdir()
            if file.suffix in (".safetensors", *PICKLE_SUFFIXES) and file.is_file()
        )
        if not named and len(others) != 1:
            found = ", ".join(file.name for file in others[:5]) or "none"
            raise WeightsError(
                f"{path} holds no model: expected a run with a checkpoint, {USUAL_NAMES[0]}, or "
                f"one file of weights; found {found}" + ("; name one of them" if others else "")
            )
        return (named or others)[0]
    if not path.exists():
        raise WeightsError(f"{path} does not exist; expected a file of weights or its folder")
    if path.suffix not in (".safetensors", *PICKLE_SUFFIXES) and not path.name.endswith(
        ".index.json"
    ):
        raise WeightsError(
            f"{path} is not a file of weights; expected .safetensors, {', '.join(PICKLE_SUFFIXES)}"
        )
    try:
        path.open("rb").close()
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror}") from error
    return path


def _download(name: str, revision: str | None, local_files_only: bool) -> Path:
    """A published model's file, with the manifest that names it."""
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
