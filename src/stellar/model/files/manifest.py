"""The manifest of published models: `config.json` with a table `models`, beside their safetensors.

It says little that the tensors do not: a model's sizes are read off its tensors, and the manifest
is held against them. The number of attention heads follows from the width in every published
model; for other widths our own manifests say it (`num_heads`, `num_decoder_heads`).
"""

import json
from collections.abc import Mapping
from math import isqrt
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

from stellar.config import DecoderConfig, ModelConfig, ObjectiveConfig
from stellar.model.files.loading import WeightsError
from stellar.model.files.published import PUBLISHED, with_unused
from stellar.model.files.saving import CONFIG, own_tensors
from stellar.model.stellar import NoDecoder, Stellar
from stellar.storage import place_file, write_file

HEADS_OF_WIDTH = {192: 3, 384: 6, 512: 8, 768: 12, 1024: 16, 1280: 16}
"""Attention heads of ViT-Ti, -S, the decoder, -B, -L and -H."""


def save_published(model: Stellar, folder: str | Path, name: str = "stellar") -> Path:
    """Write `name`.safetensors in the published layout, and its manifest, into a new folder.

    Every name of the published classes is there: their unused tensors as zeros, and the heads and
    the teacher when the model has them (`stellar.load(..., purpose="pretrain")` keeps them). The
    frozen tokenizer is not. Raises WeightsError, before anything is written, for a model that the
    published code cannot describe.
    """
    folder = Path(folder)
    _check_expressible(model)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise WeightsError(f"{folder} exists and is not empty; choose another folder")
    ours = own_tensors(model)
    state = with_unused(PUBLISHED.write(ours))
    state = {name: tensor.contiguous() for name, tensor in state.items()}
    file = folder / f"{name}.safetensors"
    manifest = {"models": {name: _entry(model.config, ours, file.name)}}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        place_file(file, lambda path: save_file(state, path, metadata={"format": "pt"}))
        write_file(folder / CONFIG, json.dumps(manifest, indent=2) + "\n")
    except OSError as error:
        raise WeightsError(f"{folder} cannot be written: {error.strerror}") from error
    return file


def _check_expressible(model: Stellar) -> None:
    """The published code builds one kind of encoder, and normalises by ImageNet's numbers."""
    for field in (
        "in_chans", "image_mean", "image_std", "norm_eps", "layer_scale", "num_registers",
    ):  # fmt: skip
        value, only = getattr(model.config, field), getattr(ModelConfig(), field)
        if value != only:
            raise WeightsError(
                f"the published layout cannot say {field} = {value}: its models have {only}"
            )
    if isinstance(model.decoder, NoDecoder):
        raise WeightsError(
            "this model was loaded to encode only, and the published layout has a decoder; "
            "load it with purpose='reconstruct' or 'pretrain'"
        )


def _entry(config: ModelConfig, state: Mapping[str, Tensor], weights: str) -> dict[str, Any]:
    """What a manifest says of a model."""
    prototypes = state.get("sparse_head.prototypes")
    return {
        "weights": weights,
        "embed_dim": config.embed_dim,
        "num_sparse_tokens": config.num_sparse_tokens,
        "num_decoder_layers": config.decoder.depth,
        "spatial_temp": config.spatial_temperature,
        "do_cls": "cls_head.prototypes" in state,
        "num_clusters": None if prototypes is None else len(prototypes),
        "patch_size": config.patch_size,
        "image_size": config.image_size,
        "recon_type": "vq" if config.decoder.target == "codes" else "pixel",
        "backbone": f"ViT, {config.depth} layers",
        "num_heads": config.num_heads,
        "num_decoder_heads": config.decoder.num_heads,
    }


def read_sizes(
    state: Mapping[str, Tensor], entry: Mapping[str, Any], file: Path
) -> tuple[ModelConfig, ObjectiveConfig | None]:
    """A published model's configuration from its tensors (under our names) and its manifest.

    Without heads there is no objective. Raises WeightsError when a tensor that says a size is
    missing, when the manifest contradicts them, or for a width whose number of heads is unknown.
    """
    try:
        config, objective = _model(state, entry), _objective(state)
    except KeyError as error:
        raise WeightsError(f"{file} is not a whole STELLAR model: it lacks {error}") from error
    except (ValueError, TypeError) as error:
        raise WeightsError(f"{file} has sizes that do not fit together: {error}") from error
    found = _entry(config, state, file.name)
    for field in ("embed_dim", "num_sparse_tokens", "num_decoder_layers", "patch_size"):
        if entry.get(field, found[field]) != found[field]:
            raise WeightsError(
                f"{file} is not the model of its manifest: {field} is {entry[field]} in "
                f"{CONFIG} and {found[field]} in the tensors"
            )
    return config, objective


def _model(state: Mapping[str, Tensor], entry: Mapping[str, Any]) -> ModelConfig:
    num_sparse_tokens, width = state["encoder.sparse_tokens"].shape
    patch = state["encoder.patch_embed.proj.weight"].shape[2]
    hidden = state["encoder.blocks.0.mlp.fc1.weight"].shape[0]
    return ModelConfig(
        image_size=patch * isqrt(state["encoder.pos_embed"].shape[1] - 1),
        patch_size=patch,
        embed_dim=width,
        depth=_depth(state, "encoder"),
        num_heads=_heads(width, entry.get("num_heads")),
        mlp_ratio=hidden / width,
        num_sparse_tokens=num_sparse_tokens,
        spatial_temperature=entry.get("spatial_temp", ModelConfig.spatial_temperature),
        decoder=_decoder(state, entry) if "decoder.proj.weight" in state else DecoderConfig(),
    )


def _decoder(state: Mapping[str, Tensor], entry: Mapping[str, Any]) -> DecoderConfig:
    width = state["decoder.proj.weight"].shape[0]
    head = state["decoder.head.weight"]
    codes = head.ndim == 2
    return DecoderConfig(
        target="codes" if codes else "pixels",
        num_codes=len(head) if codes else DecoderConfig.num_codes,
        embed_dim=width,
        depth=_depth(state, "decoder"),
        num_heads=_heads(width, entry.get("num_decoder_heads")),
        mlp_ratio=state["decoder.blocks.0.mlp.fc1.weight"].shape[0] / width,
    )


def _objective(state: Mapping[str, Tensor]) -> ObjectiveConfig | None:
    if "sparse_head.prototypes" not in state:
        return None
    num_prototypes, prototype_dim = state["sparse_head.prototypes"].shape
    return ObjectiveConfig(
        num_prototypes=num_prototypes,
        prototype_dim=prototype_dim,
        head_hidden_dim=state["sparse_head.mlp.fc1.weight"].shape[0],
        teacher="constant" if "teacher.encoder.cls_token" in state else "none",
    )


def _depth(state: Mapping[str, Tensor], part: str) -> int:
    return sum(
        name.startswith(f"{part}.blocks.") and name.endswith("norm1.weight") for name in state
    )


def _heads(width: int, said: int | None) -> int:
    if said is None and width not in HEADS_OF_WIDTH:
        raise ValueError(
            f"the number of attention heads at width {width} is known to no manifest; put a "
            "config.json beside the file, as stellar.save_published writes it"
        )
    return said or HEADS_OF_WIDTH[width]
