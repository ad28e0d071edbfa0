"""A model in the published layout, as the published code reads it: one safetensors file and its
manifest.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from safetensors.torch import save_file

from stellar.config import ModelConfig
from stellar.model.files.config_json import CONFIG
from stellar.model.files.layout import UnknownWeights
from stellar.model.files.manifest import manifest_entry
from stellar.model.files.published_layout import PUBLISHED, with_unused
from stellar.model.files.saving import own_tensors
from stellar.model.files.strict_loading import WeightsError
from stellar.model.stellar import NoDecoder, Stellar, check_model
from stellar.storage import at_home, make_folder, place_file, write_file, writing

INSTEAD = "write the model with its save_pretrained instead, in our own"
"""What to do with a model that the published layout cannot hold."""


def save_published(model: Stellar, folder: str | Path, name: str = "stellar") -> Path:
    """Write `name`.safetensors in the published layout, and its manifest, into a new folder, or
    into one where the same was begun.

    Every name of the published classes is there: their unused tensors as zeros, and the heads and
    the teacher when the model has them (`stellar.load(..., purpose="pretrain")` keeps them). The
    frozen tokenizer is not. Raises WeightsError, before anything is written, for a model that the
    published code cannot describe, and NotWritten.
    """
    check_model(model)
    folder = Path(at_home(folder))
    _check_name(name)
    _check_expressible(model)
    ours = own_tensors(model)
    try:
        state = with_unused(PUBLISHED.write(ours))
    except UnknownWeights as error:
        raise WeightsError(f"{error}; {INSTEAD}") from error
    state = {name: tensor.contiguous() for name, tensor in state.items()}
    file = folder / f"{name}.safetensors"
    manifest = {"models": {name: manifest_entry(model.config, ours, file.name)}}
    text = json.dumps(manifest, indent=2) + "\n"
    with writing(folder):
        if folder.exists() and not _begun(folder, file, text):
            raise WeightsError(f"{folder} exists and is not empty; choose another folder")
    make_folder(folder)
    place_file(file, lambda path: save_file(state, path, metadata={"format": "pt"}))
    write_file(folder / CONFIG, text)
    return file


def _check_name(name: str) -> None:
    """Raises WeightsError for what cannot be the name of a file."""
    usable = isinstance(name, str) and name.isprintable() and name.strip(".")
    if not usable or Path(name).name != name:
        raise WeightsError(f"name must be a file's name, as stellar-pets, got {name!r}")


def _begun(folder: Path, weights: Path, manifest: str) -> bool:
    """Whether a folder holds nothing but some of what is to be written into it; what is hidden, as
    the remains of a call that was killed, does not count.
    """
    if not folder.is_dir():
        return False
    shown = {file for file in folder.iterdir() if not file.name.startswith(".")}
    if shown - {weights, folder / CONFIG}:
        return False
    file = folder / CONFIG
    return not file.exists() or file.read_bytes() == manifest.encode()


def _check_expressible(model: Stellar) -> None:
    """The published code builds one kind of encoder, and normalises by ImageNet's numbers."""
    fields = (
        "in_chans", "image_mean", "image_std", "norm_eps", "layer_scale", "num_registers",
        "gated_mlp", "rope_theta", "slot_rounds", "bottleneck",
    )  # fmt: skip
    values = {field: getattr(model.config, field) for field in fields}
    only = {field: getattr(ModelConfig(), field) for field in fields}
    other = [field for field in fields if values[field] != only[field]]
    if other:
        raise WeightsError(
            f"the published layout cannot say {_listed(values, other)}: its models have "
            f"{_listed(only, other)}; {INSTEAD}"
        )
    if not model.learned_to_draw:
        raise WeightsError(
            "the published layout has a decoder, and this model has none that learned to draw, "
            f"since its training had no reconstruction term; {INSTEAD}"
        )
    if isinstance(model.decoder, NoDecoder):
        raise WeightsError(
            "this model was loaded to encode only, and the published layout has a decoder; "
            "load it with purpose='reconstruct' or 'pretrain'"
        )


def _listed(values: Mapping[str, object], fields: Iterable[str]) -> str:
    return ", ".join(f"{field} = {values[field]}" for field in fields)
