"""The manifest of published models: their `config.json`, with a table `models` that has an entry
for each safetensors file beside it.

It says little that the tensors do not, so it is held against them. What it alone knows is the
temperature of L, whether a model is one of the main ones or an ablation (`category`) and, in
manifests that we write, the numbers of attention heads (`num_heads`, `num_decoder_heads`).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from stellar.config import ModelConfig
from stellar.model.files.config_json import CONFIG, read_json
from stellar.model.files.json_fields import JsonFields, is_same, shown
from stellar.model.files.strict_loading import WeightsError


def read_manifest(path: Path) -> dict[str, dict[str, Any]]:
    """The table `models` of a published `config.json`; empty when there is none. Raises
    WeightsError.
    """
    models = read_json(path).get("models", {})
    if not isinstance(models, dict) or not all(
        isinstance(entry, dict) and _is_file_name(entry.get("weights")) for entry in models.values()
    ):
        raise WeightsError(f"{path} is not a manifest: each of its models must name its file")
    for entry in models.values():
        JsonFields(entry, str(path)).text("category", "")
    return models


def _is_file_name(value: Any) -> bool:
    return isinstance(value, str) and Path(value).name == value


def manifest_entry(
    config: ModelConfig, state: Mapping[str, Tensor], weights: str
) -> dict[str, Any]:
    """What a manifest says of a model; `state` is its tensors under our names, `weights` its file's
    name.
    """
    prototypes = state.get("sparse_head.prototypes")
    return {
        "weights": weights,
        "category": "main",
        "embed_dim": config.embed_dim,
        "num_sparse_tokens": config.num_sparse_tokens,
        "num_decoder_layers": config.decoder.depth,
        "spatial_temp": config.spatial_temperature,
        "do_recon": "decoder.proj.weight" in state,
        "do_clustering": prototypes is not None,
        "do_cls": "cls_head.prototypes" in state,
        "num_clusters": None if prototypes is None else len(prototypes),
        "patch_size": config.patch_size,
        "image_size": config.image_size,
        "recon_type": "vq" if config.decoder.target == "codes" else "pixel",
        "backbone": f"ViT, {config.depth} layers",
        "num_heads": config.num_heads,
        "num_decoder_heads": config.decoder.num_heads,
    }


def require_agreement(entry: Mapping[str, Any], found: Mapping[str, Any], file: Path) -> None:
    """Raises WeightsError when an entry contradicts the one that the file's tensors give."""
    sizes = ("embed_dim", "num_sparse_tokens", "num_decoder_layers", "patch_size")
    for field in (*sizes, "do_recon", "do_clustering"):
        said = entry.get(field, found[field])
        if not is_same(said, found[field]):
            raise WeightsError(
                f"{file} is not the model of its manifest: {field} is {shown(said)} in "
                f"{CONFIG} and {found[field]} in the tensors"
            )
