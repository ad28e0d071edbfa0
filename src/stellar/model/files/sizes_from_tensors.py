"""Configurations of models that come without one of ours: sizes are read off the tensors, and only
what they cannot tell is taken from the JSON files beside them.
"""

from collections.abc import Mapping
from math import isqrt
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from stellar.config import DecoderConfig, ModelConfig, ObjectiveConfig
from stellar.images import nearest_multiple
from stellar.model.files.config_json import CONFIG
from stellar.model.files.families import DINOV2, DINOV3, DINOV3_GATED, PERIODS, VIT
from stellar.model.files.json_fields import JsonFields
from stellar.model.files.layout import Layout
from stellar.model.files.manifest import manifest_entry, require_agreement
from stellar.model.files.strict_loading import WeightsError

HEADS_OF_WIDTH = {192: 3, 384: 6, 512: 8, 768: 12, 1024: 16, 1280: 16}
"""Attention heads of ViT-Ti, -S, the published decoder, -B, -L and -H."""
DINOV3_7B = 4096
"""Width of the one DINOv3 model whose heads are 128 wide; those of the others are 64."""


def published_sizes(
    state: Mapping[str, Tensor], entry: Mapping[str, Any], file: Path
) -> tuple[ModelConfig, ObjectiveConfig | None]:
    """A published model's configuration from its tensors (under our names) and its manifest.

    Without heads there is no objective. Raises WeightsError when a tensor that says a size is
    missing, when the manifest contradicts them, or for a width whose number of heads is unknown.
    """
    try:
        config, objective = _model(state, JsonFields(entry, f"its {CONFIG}")), _objective(state)
    except KeyError as error:
        raise WeightsError(f"{file} is not a whole STELLAR model: it lacks {error}") from error
    except WeightsError as error:
        raise WeightsError(f"{file} cannot be read: {error}") from error
    except (ValueError, TypeError, IndexError) as error:
        raise WeightsError(f"{file} has sizes that do not fit together: {error}") from error
    require_agreement(entry, manifest_entry(config, state, file.name), file)
    return config, objective


def backbone_sizes(
    state: Mapping[str, Tensor], layout: Layout, config: JsonFields
) -> dict[str, Any]:
    """The fields of ModelConfig that tensors decide, and those that only `config.json` knows.
    Raises WeightsError where the two do not go together.
    """
    shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
    rotary = "pos_embed" not in state
    _require_dimensions(shapes, rotary)
    width, channels, patch, _ = shapes["patch_embed.proj.weight"]
    numbers = [int(name.split(".")[1]) for name in shapes if name.startswith("blocks.")]
    (expanded, _), (_, hidden) = (shapes[f"blocks.0.mlp.fc{n}.weight"] for n in (1, 2))
    sizes = {
        "image_size": _image_size(shapes, config),
        "patch_size": patch,
        "in_chans": channels,
        "embed_dim": width,
        "depth": config.whole("num_hidden_layers", 1 + max(numbers)),
        "num_heads": _backbone_heads(state, width, config),
        "mlp_ratio": hidden / width,
        "gated_mlp": expanded == 2 * hidden,
        "norm_eps": config.number("layer_norm_eps", _usual_epsilon(layout, rotary)),
        "layer_scale": "blocks.0.ls1.gamma" in shapes,
        "num_registers": shapes.get("register_tokens", (1, 0))[1],
        "rope_theta": _rope_theta(state, config) if rotary else None,
    }
    _require_one_model(sizes, layout, config)
    return sizes


def _require_one_model(sizes: Mapping[str, Any], layout: Layout, config: JsonFields) -> None:
    """Raises WeightsError where `config.json` is of another model than the tensors, or where these
    are not all.
    """
    config.require("hidden_size", sizes["embed_dim"])
    config.require("hidden_act", "silu" if layout is DINOV3_GATED else "gelu")
    config.require("num_register_tokens", sizes["num_registers"])
    config.require("use_gated_mlp", sizes["gated_mlp"])
    config.require("use_swiglu_ffn", sizes["gated_mlp"])
    if layout in (DINOV2, DINOV3, DINOV3_GATED) and not sizes["layer_scale"]:
        raise WeightsError(
            f"it lacks layer_scale1 and layer_scale2, which every {layout.name} has; take the "
            "whole file"
        )


def _require_dimensions(shapes: Mapping[str, tuple[int, ...]], rotary: bool) -> None:
    """Raises WeightsError when a tensor that says a size is missing or is of another kind."""
    needed = {
        "patch_embed.proj.weight": 4,
        "blocks.0.mlp.fc1.weight": 2,
        "blocks.0.mlp.fc2.weight": 2,
    }
    if not rotary:
        needed["pos_embed"] = 3
    if "register_tokens" in shapes:
        needed["register_tokens"] = 3
    for name, dimensions in needed.items():
        if len(shapes.get(name, ())) != dimensions:
            raise WeightsError(
                f"{name}, as stellar names it, must have {dimensions} dimensions, "
                f"{f'got {shapes[name]}' if name in shapes else 'but is missing'}"
            )


def _backbone_heads(state: Mapping[str, Tensor], width: int, config: JsonFields) -> int:
    """Heads by the periods, a quarter of a head's width, where a file has them. Raises WeightsError
    where no whole number of heads has that width, or `config.json` says another.
    """
    if PERIODS not in state:
        return config.whole("num_attention_heads", _usual_heads(width, "pos_embed" not in state))
    head = 4 * state[PERIODS].numel()
    if not head or width % head:
        raise WeightsError(
            f"its rotary positions must have a period for every four channels of a head, so that "
            f"heads divide the width {width}, got {head // 4} of them"
        )
    config.require("num_attention_heads", width // head)
    return width // head


def _usual_heads(width: int, rotary: bool) -> int:
    """Heads of a file that says nothing of them."""
    if rotary:
        return width // 128 if width == DINOV3_7B else max(1, width // 64)
    return HEADS_OF_WIDTH.get(width, max(1, width // 64))


def _usual_epsilon(layout: Layout, rotary: bool) -> float:
    if rotary:
        return 1e-5
    return 1e-12 if layout is VIT else 1e-6


def _image_size(shapes: Mapping[str, tuple[int, ...]], config: JsonFields) -> int:
    """That of the position table; without one, no tensor depends on it."""
    patch = shapes["patch_embed.proj.weight"][2]
    if "pos_embed" in shapes:
        return patch * isqrt(shapes["pos_embed"][1])
    return nearest_multiple(config.whole("image_size", 224), patch)


def _rope_theta(state: Mapping[str, Tensor], config: JsonFields) -> float:
    """Raises WeightsError when the periods in a file are not those that follow from it."""
    theta = config.number("rope_theta", 100.0)
    if PERIODS in state:
        periods = state[PERIODS].float().flatten()
        usual = theta ** (torch.arange(len(periods)) / len(periods))
        if not torch.allclose(periods, usual, rtol=0.01):  # they may have been saved in bf16
            raise WeightsError(
                f"its rotary positions must have periods from 1 to {usual[-1]:.4g}, "
                f"got {periods[0]:.4g} to {periods[-1]:.4g}; other ones are not supported"
            )
    return float(theta)


def backbone_normalisation(config: JsonFields, preprocessing: JsonFields) -> dict[str, Any]:
    """Mean and standard deviation where the files name them: transformers' preprocessor, or
    timm's configuration.
    """
    timm = config.table("pretrained_cfg")
    found = {
        "image_mean": preprocessing.numbers("image_mean") or timm.numbers("mean"),
        "image_std": preprocessing.numbers("image_std") or timm.numbers("std"),
    }
    return {name: values for name, values in found.items() if values}


def _model(state: Mapping[str, Tensor], entry: JsonFields) -> ModelConfig:
    num_sparse_tokens, width = state["encoder.sparse_tokens"].shape
    patch = state["encoder.patch_embed.proj.weight"].shape[2]
    hidden = state["encoder.blocks.0.mlp.fc1.weight"].shape[0]
    return ModelConfig(
        image_size=patch * isqrt(state["encoder.pos_embed"].shape[1] - 1),
        patch_size=patch,
        embed_dim=width,
        depth=_depth(state, "encoder"),
        num_heads=_heads(width, entry, "num_heads"),
        mlp_ratio=hidden / width,
        num_sparse_tokens=num_sparse_tokens,
        spatial_temperature=_temperature(entry),
        decoder=_decoder(state, entry) if "decoder.proj.weight" in state else DecoderConfig(),
    )


def _temperature(entry: JsonFields) -> float | None:
    """That of L, where null means plain dot products."""
    usual = ModelConfig.spatial_temperature
    if entry.content.get("spatial_temp", usual) is None:
        return None
    return entry.number("spatial_temp", usual)


def _decoder(state: Mapping[str, Tensor], entry: JsonFields) -> DecoderConfig:
    width = state["decoder.proj.weight"].shape[0]
    head = state["decoder.head.weight"]
    codes = head.ndim == 2
    return DecoderConfig(
        target="codes" if codes else "pixels",
        num_codes=len(head) if codes else DecoderConfig.num_codes,
        embed_dim=width,
        depth=_depth(state, "decoder"),
        num_heads=_heads(width, entry, "num_decoder_heads"),
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


def _heads(width: int, entry: JsonFields, field: str) -> int:
    heads = entry.whole(field, HEADS_OF_WIDTH.get(width))
    if heads is None:
        raise WeightsError(
            f"the number of attention heads at width {width} is known to no manifest; put a "
            "config.json beside the file, as stellar.save_published writes it"
        )
    return heads
