"""A trained model, ready to use, by its name or its path: `stellar.load`; `load_any` also takes
somebody else's.

Only what the purpose needs is built and read. Modules are made on the meta device and take the
file's tensors as they are, so the weights are in memory once.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, get_args

import torch
from torch import Tensor

from stellar.config.checks import warn
from stellar.errors import UserError
from stellar.model.backbones import build_backbone
from stellar.model.files.config_json import CONFIG, read_history
from stellar.model.files.opening import BackboneFile, ModelFile, open_model, open_weights
from stellar.model.files.prefixes import FROZEN, TRAINING_ONLY
from stellar.model.files.strict_loading import WeightsError, load_weights
from stellar.model.files.tokenizer import fetch_tokenizer, load_tokenizer
from stellar.model.stellar import Stellar
from stellar.model.vqgan import VQGAN
from stellar.objective import PretrainingModel
from stellar.precision import choose_device
from stellar.storage import at_home

Purpose = Literal["encode", "reconstruct", "pretrain"]


def load(
    model: str | Path,
    device: str | torch.device = "cpu",
    tokenizer: str | Path | None = None,
    purpose: Purpose = "reconstruct",
    revision: str | None = None,
    local_files_only: bool = False,
) -> Stellar:
    """A trained model.

    `model` is `stellar-scenes`, which comes with the package, a published name (stellar-b16,
    -l16, -h16, -b8, -b24), a hub repository (hf://you/photos), a run's folder (its newest whole
    checkpoint), a checkpoint's folder, or a file of weights: ours with its `config.json`, a
    published safetensors file, or a Lightning `.ckpt` (its tensors only; no code of a pickle is
    ever run).

    `purpose`: `encode` builds encoder and factorization; `reconstruct` also the decoder, and the
    tokenizer of a model that reconstructs codes; `pretrain` a `PretrainingModel` with its heads,
    and the teacher when the file has one, ready for gradients.

    `tokenizer` is the MaskGIT-VQGAN's file. Without it, the one named in the model's
    configuration is taken, or the one in the weights' file, or the hub's, which is downloaded only
    for a published name. `revision` pins a published model to a branch, tag or commit;
    `local_files_only` takes everything from the hub's cache, as HF_HUB_OFFLINE=1 does. Neither a
    path nor a model of the package ever leads to a network call.

    `device` is auto, cpu or cuda, or torch's own. Raises WeightsError with a sentence for what
    cannot be loaded, UserError for a device that is not there.
    """
    if purpose not in get_args(Purpose):
        raise UserError(f"purpose must be encode, reconstruct or pretrain, got {purpose!r}")
    file = open_model(model, revision, local_files_only)
    return build(file, device, tokenizer, purpose, local_files_only)


def load_any(source: str | Path, device: str | torch.device = "cpu") -> Stellar:
    """Whatever a name or a path stands for: a model of ours as from `load`, somebody else's as from
    `load_backbone`. Raises WeightsError with a sentence.
    """
    file = open_weights(source)
    return build_backbone(file, device) if isinstance(file, BackboneFile) else build(file, device)


def build(
    file: ModelFile,
    device: str | torch.device = "cpu",
    tokenizer: str | Path | None = None,
    purpose: Purpose = "reconstruct",
    local_files_only: bool = False,
) -> Stellar:
    """The model of an opened file; the rest as `load` has it."""
    chosen = choose_device(device)
    built = _with_weights(file, purpose)
    draws_codes = file.config.decoder.target == "codes"
    if tokenizer is not None and not draws_codes:
        warn(f"a tokenizer has no effect on {file.path}, which draws pixels")
    if purpose != "encode" and draws_codes:
        built.tokenizer = _tokenizer(file, tokenizer, local_files_only)
    built.history = read_history(file.path.with_name(CONFIG))
    built.learned_to_draw = file.learned_to_draw
    built = built.to(chosen)
    return built if purpose == "pretrain" else built.eval().requires_grad_(False)


def _with_weights(file: ModelFile, purpose: Purpose) -> Stellar:
    if purpose == "pretrain":
        if file.objective is None:
            raise WeightsError(
                f"{file.path} has no heads to go on training with; load it to encode or to "
                "reconstruct, or start a run from it with init"
            )
        with torch.device("meta"):
            model = PretrainingModel(file.config, file.objective)
        ignore = FROZEN if model.teacher is not None else (*FROZEN, "teacher.")
    else:
        draws = purpose == "reconstruct" and file.learned_to_draw
        with torch.device("meta"):
            model = Stellar(file.config, draws=draws)
        ignore = (*FROZEN, *TRAINING_ONLY, *(() if draws else ("decoder.",)))
    try:
        load_weights(model, file.state, ignore)
    except WeightsError as error:
        raise WeightsError(f"{file.path}: {error}") from error
    return model


def _tokenizer(file: ModelFile, given: str | Path | None, local_files_only: bool) -> VQGAN | None:
    """The tokenizer that goes with a model, or None when there is none to be had."""
    num_codes = file.config.decoder.num_codes
    if given is not None:
        return load_tokenizer(Path(at_home(given)), num_codes)
    named = file.config.decoder.tokenizer
    if named and Path(named).exists():
        return load_tokenizer(Path(named), num_codes)
    inside = _part(file.state, "tokenizer.")
    if inside:
        return VQGAN.from_state(inside)
    try:
        return fetch_tokenizer(num_codes, local_files_only or not file.from_hub)
    except WeightsError:  # the model encodes without it, and says what it misses when it draws
        return None


def _part(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): state[name] for name in state if name.startswith(prefix)}
