"""Weights by their name or their path, opened: a model of STELLAR, or somebody else's vision
transformer.

Opening locates the file once, reads its configuration and the names of its tensors. A model's
tensors are read when they are asked for.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import isqrt
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from stellar.config import ModelConfig, ObjectiveConfig
from stellar.model.files.biases import require_biases, with_all_biases
from stellar.model.files.config_json import CONFIG, read_config, read_json
from stellar.model.files.families import PERIODS, layout_of
from stellar.model.files.json_fields import JsonFields
from stellar.model.files.layout import fuse
from stellar.model.files.locating import Located, locate, locate_backbone, locate_model
from stellar.model.files.manifest import read_manifest
from stellar.model.files.prefixes import encoder_only, is_stellar
from stellar.model.files.published_layout import PUBLISHED
from stellar.model.files.sizes_from_tensors import (
    backbone_normalisation,
    backbone_sizes,
    published_sizes,
)
from stellar.model.files.strict_loading import WeightsError
from stellar.model.files.tensors import open_state

FOR_OTHERS = (
    "if it is another vision transformer, it is for stellar evaluate, for pretrain --init and for "
    "stellar.load_backbone"
)


@dataclass(frozen=True)
class ModelFile:
    """A model of STELLAR on the disk."""

    path: Path
    """The file of its weights."""
    config: ModelConfig
    objective: ObjectiveConfig | None
    """How it was trained, when the file holds the heads."""
    state: Mapping[str, Tensor]
    """Its tensors under our names, read when they are asked for."""
    from_hub: bool
    """It was named by what it is called on the hub."""
    category: str = ""
    """What its manifest says of it: main or ablation."""

    @property
    def has_decoder(self) -> bool:
        """Whether it was written with one."""
        return any(name.startswith("decoder.") for name in self.state)

    @property
    def learned_to_draw(self) -> bool:
        """Whether it has a decoder, and a term of its training was about drawing whole pictures, as
        far as the file says.
        """
        trained = self.objective is None or self.objective.on("reconstruction")
        return trained and self.has_decoder


@dataclass(frozen=True)
class BackboneFile:
    """Somebody else's vision transformer, read."""

    name: str
    """What a message calls it."""
    sizes: Mapping[str, Any]
    """The fields of ModelConfig that the files decide."""
    state: Mapping[str, Tensor]
    """The encoder's tensors under our names, with zero sparse tokens."""


def open_weights(
    source: str | Path, revision: str | None = None, local_files_only: bool = False
) -> ModelFile | BackboneFile:
    """Whatever a name or a path stands for, also a hub id such as `facebook/vit-mae-base` or
    `you/pets`: its type says what it is. Raises WeightsError with a sentence.

    Who wants one of the two, and nothing else, asks for it: `open_model`, `open_backbone`.
    """
    located = locate(source, revision, local_files_only)
    state = open_state(located.path)
    return _model(located, state) if is_stellar(state) else _backbone(source, located, state)


def open_model(
    model: str | Path, revision: str | None = None, local_files_only: bool = False
) -> ModelFile:
    """A model of ours, or one in the published layout, by what `locate_model` takes: a path never
    leads to a network call. Raises WeightsError with a sentence.
    """
    located = locate_model(model, revision, local_files_only)
    return _model(located, open_state(located.path))


def open_backbone(
    source: str | Path, revision: str | None = None, local_files_only: bool = False
) -> BackboneFile:
    """A backbone by a hub id, its folder or its file. Raises WeightsError with a sentence."""
    located = locate_backbone(source, revision, local_files_only)
    return _backbone(source, located, open_state(located.path))


def _model(located: Located, state: Mapping[str, Tensor]) -> ModelFile:
    path, config_file = located.path, located.path.with_name(CONFIG)
    if any(name.startswith("encoder.blocks.") for name in state):
        return ModelFile(path, *read_config(config_file), state, located.from_hub)
    try:
        state = PUBLISHED.view(state)
    except WeightsError as error:
        advice = "" if is_stellar(state) else f"; {FOR_OTHERS}"
        raise WeightsError(f"{path} is no model of stellar: {error}{advice}") from error
    manifest = read_manifest(config_file)
    entry = next((each for each in manifest.values() if each["weights"] == path.name), None)
    if entry is None and manifest:
        raise WeightsError(
            f"{config_file} says nothing of {path.name}, only of other files; put the {CONFIG} "
            "that came with it beside it"
        )
    if entry is None and config_file.exists():
        sizes = read_config(config_file)
    else:
        sizes = published_sizes(state, entry or {}, path)
    return ModelFile(path, *sizes, state, located.from_hub, (entry or {}).get("category", ""))


def _backbone(source: str | Path, located: Located, tensors: Mapping[str, Tensor]) -> BackboneFile:
    config = _json_beside(located.path, CONFIG)
    preprocessing = _json_beside(located.path, "preprocessor_config.json")
    try:
        state = encoder_only(tensors)
        layout = layout_of(state)
        named = layout.renamed(state)
        require_biases(named, config)
        state = fuse(with_all_biases(named))
        sizes = backbone_sizes(state, layout, config)
        sizes |= backbone_normalisation(config, preprocessing)
        state.pop(PERIODS, None)
        if "pos_embed" in state:
            state["pos_embed"] = _with_cls_row(state["pos_embed"])
        if not sizes["num_registers"]:
            state.pop("register_tokens", None)
        state["sparse_tokens"] = torch.empty(0, sizes["embed_dim"])
    except WeightsError as error:
        raise WeightsError(f"{source} cannot be used as a backbone: {error}") from error
    return BackboneFile(f"{source} ({layout.name})", sizes, state)


def _json_beside(weights: Path, name: str) -> JsonFields:
    return JsonFields(read_json(weights.with_name(name)), f"its {name}")


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
