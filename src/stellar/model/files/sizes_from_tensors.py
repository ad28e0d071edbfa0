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
from stellar.model.files.families import DINOV3_GATED, PERIODS, VIT
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
        config, objective = _model(state, entry), _objective(state)
    except KeyError as error:
        raise WeightsError(f"{file} is not a whole STELLAR model: it lacks {error}") from error
    except (ValueError, TypeError) as error:
        raise WeightsError(f"{file} has sizes that do not fit together: {error}") from error
    require_agreement(entry, manifest_entry(config, state, file.name), file)
    return config, objective


def backbone_sizes(
    state: Mapping[str, Tensor], layout: Layout, config: Mapping[str, Any]
) -> dict[str, Any]:
    """The fields of ModelConfig that tensors decide, and those that only `config.json` knows."""
    shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
    rotary = "pos_embed" not in state
    _require_dimensions(shapes, rotary)
    width, channels, patch, _ = shapes["patch_embed.proj.weight"]
    act = "silu" if layout is DINOV3_GATED else "gelu"
    if config.get("hidden_size", width) != width or config.get("hidden_act", act) != act:
        raise WeightsError(
            f"its config.json must say hidden_size {width}, as its tensors have, and hidden_act "
            f"{act}, got {config.get('hidden_size')} and {config.get('hidden_act')}"
        )
    numbers = [int(name.split(".")[1]) for name in shapes if name.startswith("blocks.")]
    (expanded, _), (_, hidden) = (shapes[f"blocks.0.mlp.fc{n}.weight"] for n in (1, 2))
    return {
        "image_size": _image_size(shapes, config),
        "patch_size": patch,
        "in_chans": channels,
        "embed_dim": width,
        "depth": config.get("num_hidden_layers", 1 + max(numbers)),
        "num_heads": config.get("num_attention_heads", _usual_heads(state, width)),
        "mlp_ratio": hidden / width,
        "gated_mlp": expanded == 2 * hidden,
        "norm_eps": config.get("layer_norm_eps", _usual_epsilon(layout, rotary)),
        "layer_scale": "blocks.0.ls1.gamma" in shapes,
        "num_registers": shapes.get("register_tokens", (1, 0))[1],
        "rope_theta": _rope_theta(state, config) if rotary else None,
    }


def _require_dimensions(shapes: Mapping[str, tuple[int, ...]], rotary: bool) -> None:
    """Raises WeightsError when a tensor that says a size is missing or is of another kind."""
    needed = {
        "patch_embed.proj.weight": 4,
        "blocks.0.mlp.fc1.weight": 2,
        "blocks.0.mlp.fc2.weight": 2,
    }
    for name, dimensions in (needed if rotary else needed | {"pos_embed": 3}).items():
        if len(shapes.get(name, ())) != dimensions:
            raise WeightsError(
                f"{name}, as stellar names it, must have {dimensions} dimensions, "
                f"{f'got {shapes[name]}' if name in shapes else 'but is missing'}"
            )


def _usual_heads(state: Mapping[str, Tensor], width: int) -> int:
    """Heads of a file that does not say them: periods are a quarter of a head's width."""
    if PERIODS in state:
        return max(1, width // (4 * max(1, state[PERIODS].numel())))
    if "pos_embed" in state:
        return HEADS_OF_WIDTH.get(width, max(1, width // 64))
    return width // 128 if width == DINOV3_7B else max(1, width // 64)


def _usual_epsilon(layout: Layout, rotary: bool) -> float:
    if rotary:
        return 1e-5
    return 1e-12 if layout is VIT else 1e-6


def _image_size(shapes: Mapping[str, tuple[int, ...]], config: Mapping[str, Any]) -> int:
    """That of the position table; without one, no tensor depends on it."""
    patch = shapes["patch_embed.proj.weight"][2]
    if "pos_embed" in shapes:
        return patch * isqrt(shapes["pos_embed"][1])
    said = config.get("image_size")
    return nearest_multiple(said if isinstance(said, int) else 224, patch)


def _rope_theta(state: Mapping[str, Tensor], config: Mapping[str, Any]) -> float:
    """Raises WeightsError when the periods in a file are not those that follow from it."""
    theta = config.get("rope_theta", 100.0)
    if not isinstance(theta, int | float):
        raise WeightsError(f"its config.json must say a number as rope_theta, got {theta!r}")
    if PERIODS in state:
        periods = state[PERIODS].float().flatten()
        usual = theta ** (torch.arange(len(periods)) / len(periods))
        if not torch.allclose(periods, usual, rtol=0.01):  # they may have been saved in bf16
            raise WeightsError(
                f"its rotary positions must have periods from 1 to {usual[-1]:.4g}, "
                f"got {periods[0]:.4g} to {periods[-1]:.4g}; other ones are not supported"
            )
    return float(theta)


def backbone_normalisation(
    config: Mapping[str, Any], preprocessing: Mapping[str, Any]
) -> dict[str, Any]:
    """Mean and standard deviation where the files name them: transformers' preprocessor, or
    timm's configuration.
    """
    timm = config.get("pretrained_cfg", {})
    found = {
        "image_mean": preprocessing.get("image_mean", timm.get("mean")),
        "image_std": preprocessing.get("image_std", timm.get("std")),
    }
    return {name: tuple(map(float, values)) for name, values in found.items() if values}


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
