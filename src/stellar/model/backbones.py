"""Other people's vision transformers as encoders of ours: MAE, DINO, DINOv2 and plain ViT files.

A backbone is our encoder without sparse tokens. Its sizes are read off the tensors; what they
cannot tell (heads, epsilon, normalisation) is in the JSON files beside them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import isqrt
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from stellar.config import ConfigError, DecoderConfig, Fit, ModelConfig
from stellar.model.encoder import Encoder, resize_positions
from stellar.model.factors import Factors
from stellar.model.files.families import VIT, encoder_only, is_stellar, layout_of
from stellar.model.files.hub import fetch, is_hub_id
from stellar.model.files.layout import Layout
from stellar.model.files.loading import WeightsError, load_weights
from stellar.model.files.manifest import HEADS_OF_WIDTH
from stellar.model.files.model_file import REPOSITORY
from stellar.model.files.reading import open_state, read_json
from stellar.model.files.saving import CONFIG, find_weights
from stellar.model.inputs import Inputs, prepare


@dataclass(frozen=True)
class BackboneFiles:
    """A backbone's files, read."""

    name: str
    """What a message calls it."""
    sizes: Mapping[str, Any]
    """The fields of ModelConfig that the files decide."""
    state: Mapping[str, Tensor]
    """The encoder's tensors under our names, with zero sparse tokens."""

    def load_into(self, encoder: Encoder, config: ModelConfig) -> None:
        """The weights into an encoder of these sizes, but perhaps of another image size or number
        of channels. Sparse tokens of an encoder that has some stay as they are.

        Raises WeightsError with the tensors that are missing, left over or of another shape.
        """
        state, side = dict(self.state), config.image_size // config.patch_size
        cls, table = state["pos_embed"][:, :1], state["pos_embed"][:, 1:]
        table = resize_positions(table, (side, side), antialias=config.num_registers > 0)
        state["pos_embed"] = torch.cat([cls, table], dim=1)
        weight = state["patch_embed.proj.weight"]
        try:
            state["patch_embed.proj.weight"] = adapt_channels(weight, config.in_chans)
            load_weights(encoder, state, ("sparse_tokens",) if config.num_sparse_tokens else ())
        except WeightsError as error:
            raise WeightsError(f"{self.name}: {error}") from error


class Backbone(nn.Module):
    """Somebody else's vision transformer under the encoder's contract: cls and patch features
    after its final norm, no sparse tokens.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.encoder.cls_token.device

    def encode(self, images: Inputs, fit: Fit | None = None) -> Factors:
        """Features of pictures, given as to `Stellar.encode`; sparse and spatial have K = 0."""
        prepared = prepare(images, self.config, fit, like=self.encoder.cls_token)
        tokens, grid = self.encoder(prepared.images), self.encoder.grid(prepared.images)
        spatial = tokens.dense.new_empty(*tokens.dense.shape[:2], 0)
        return Factors(tokens.cls, tokens.sparse, spatial, tokens.dense, grid, prepared.description)


def load_backbone(
    source: str | Path,
    device: str | torch.device = "cpu",
    revision: str | None = None,
    local_files_only: bool = False,
) -> Backbone:
    """A ready-made vision transformer: MAE, DINO, DINOv2 (also with registers) or a plain ViT.

    `source` is a folder or file of transformers, timm or the original code, or an id on the
    Hugging Face hub such as `facebook/dinov2-base` (`revision` pins it, `local_files_only` forbids
    downloads). Raises WeightsError with a sentence for anything else.
    """
    files = read_backbone(source, revision, local_files_only)
    try:
        config = ModelConfig(num_sparse_tokens=0, decoder=DecoderConfig("pixels"), **files.sizes)
    except ConfigError as error:
        raise WeightsError(f"{files.name} cannot be used as a backbone: {error}") from error
    with torch.device("meta"):
        backbone = Backbone(config)
    files.load_into(backbone.encoder, config)
    return backbone.to(device).eval().requires_grad_(False)


def read_backbone(
    source: str | Path, revision: str | None = None, local_files_only: bool = False
) -> BackboneFiles:
    """A backbone's tensors and sizes. Raises WeightsError with a sentence."""
    path = _locate(str(source), revision, local_files_only)
    config = read_json(path.with_name(CONFIG))
    tensors = open_state(path)
    try:
        state = encoder_only(tensors)
        layout = layout_of(state)
        state = layout.read(state)
        sizes = _sizes(state, layout, config)
        state["pos_embed"] = _with_cls_row(state["pos_embed"])
        state["sparse_tokens"] = torch.empty(0, sizes["embed_dim"])
    except WeightsError as error:
        raise WeightsError(f"{source} cannot be used as a backbone: {error}") from error
    sizes |= _normalisation(config, read_json(path.with_name("preprocessor_config.json")))
    return BackboneFiles(f"{source} ({layout.name})", sizes, state)


def adapt_channels(
    weight: Float[Tensor, "D C p q"], in_chans: int
) -> Float[Tensor, "D {in_chans} p q"]:
    """The patch embedding of RGB for another number of channels, as timm does it: the sum for one
    channel; else RGB repeated, times 3 / in_chans.

    Raises WeightsError when the weights are not of RGB.
    """
    channels = weight.shape[1]
    if channels == in_chans:
        return weight
    if channels != 3:
        raise WeightsError(
            f"the patch embedding is of {channels} channels, the model of {in_chans}; "
            "only RGB can become another number of channels"
        )
    if in_chans == 1:
        return weight.sum(dim=1, keepdim=True)
    repeats = -(-in_chans // 3)
    return weight.repeat(1, repeats, 1, 1)[:, :in_chans] * (3 / in_chans)


def is_backbone(source: str) -> bool:
    """Whether it is somebody else's vision transformer: there, or on the hub, and no model of
    stellar.
    """
    if source == REPOSITORY or not (is_hub_id(source) or Path(source).exists()):
        return False
    return not is_stellar(open_state(_locate(source, None, False)))


def _locate(source: str, revision: str | None, local_files_only: bool) -> Path:
    """The local file; of a hub id, its copy in the cache. Raises WeightsError."""
    if is_hub_id(source):
        return find_weights(fetch(source, revision, local_files_only))
    if Path(source).exists():
        return find_weights(Path(source))
    raise WeightsError(
        f"{source} does not exist; expected a folder, a file or a hub id such as "
        "facebook/vit-mae-base"
    )


def _sizes(
    state: Mapping[str, Tensor], layout: Layout, config: Mapping[str, Any]
) -> dict[str, Any]:
    """The fields of ModelConfig that tensors decide, and those that only `config.json` knows."""
    shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
    needed = {"patch_embed.proj.weight": 4, "pos_embed": 3, "blocks.0.mlp.fc1.weight": 2}
    for name, dimensions in needed.items():
        if len(shapes.get(name, ())) != dimensions:
            raise WeightsError(
                f"{name}, as stellar names it, must have {dimensions} dimensions, "
                f"{f'got {shapes[name]}' if name in shapes else 'but is missing'}"
            )
    width, channels, patch, _ = shapes["patch_embed.proj.weight"]
    if config.get("hidden_size", width) != width or config.get("hidden_act", "gelu") != "gelu":
        raise WeightsError(
            f"its config.json must say hidden_size {width}, as its tensors have, and hidden_act "
            f"gelu, got {config.get('hidden_size')} and {config.get('hidden_act')}"
        )
    usual_heads = HEADS_OF_WIDTH.get(width, max(1, width // 64))
    numbers = [int(name.split(".")[1]) for name in shapes if name.startswith("blocks.")]
    return {
        "image_size": patch * isqrt(shapes["pos_embed"][1]),
        "patch_size": patch,
        "in_chans": channels,
        "embed_dim": width,
        "depth": config.get("num_hidden_layers", 1 + max(numbers)),
        "num_heads": config.get("num_attention_heads", usual_heads),
        "mlp_ratio": shapes["blocks.0.mlp.fc1.weight"][0] / width,
        "norm_eps": config.get("layer_norm_eps", 1e-12 if layout is VIT else 1e-6),
        "layer_scale": "blocks.0.ls1.gamma" in shapes,
        "num_registers": shapes.get("register_tokens", (1, 0))[1],
    }


def _with_cls_row(table: Float[Tensor, "1 n D"]) -> Float[Tensor, "1 rows D"]:
    """A position table whose first row is cls's: zero where timm has folded it into the cls token,
    as in DINOv2 with registers.
    """
    rows = table.shape[1]
    if isqrt(rows) ** 2 == rows:
        return torch.cat([torch.zeros_like(table[:, :1]), table], dim=1)
    if isqrt(rows - 1) ** 2 == rows - 1:
        return table
    raise WeightsError(
        f"its position table has {rows} rows; expected a square of patches, with or without cls"
    )


def _normalisation(config: Mapping[str, Any], preprocessing: Mapping[str, Any]) -> dict[str, Any]:
    """Mean and standard deviation where the files name them: transformers' preprocessor, or
    timm's configuration.
    """
    timm = config.get("pretrained_cfg", {})
    found = {
        "image_mean": preprocessing.get("image_mean", timm.get("mean")),
        "image_std": preprocessing.get("image_std", timm.get("std")),
    }
    return {name: tuple(map(float, values)) for name, values in found.items() if values}
