"""The published layout of STELLAR weights (`microsoft/STELLAR`), read and written.

The published files name parameters as transformers' ViT does, keep query, key and value apart,
and carry poolers and decoder embeddings that are never used. One table maps their names to ours,
in both directions.
"""

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from stellar.errors import UserError

# (published, ours); {n} is a layer's number. Order does not matter: every name matches one row.
_VIT = (
    ("encoder.layer.{n}.attention.output.dense", "blocks.{n}.attn.proj"),
    ("encoder.layer.{n}.intermediate.dense", "blocks.{n}.mlp.fc1"),
    ("encoder.layer.{n}.output.dense", "blocks.{n}.mlp.fc2"),
    ("encoder.layer.{n}.layernorm_before", "blocks.{n}.norm1"),
    ("encoder.layer.{n}.layernorm_after", "blocks.{n}.norm2"),
    ("encoder.layer.{n}.attention.attention.query", "blocks.{n}.attn.q"),
    ("encoder.layer.{n}.attention.attention.key", "blocks.{n}.attn.k"),
    ("encoder.layer.{n}.attention.attention.value", "blocks.{n}.attn.v"),
    ("layernorm", "norm"),
)
_ENCODER = (
    *_VIT,
    ("embeddings.cls_token", "cls_token"),
    ("embeddings.position_embeddings", "pos_embed"),
    ("embeddings.patch_embeddings.projection", "patch_embed.proj"),
)
_HEAD = (
    ("predictor.layers.0", "mlp.fc1"),
    ("predictor.layers.2", "mlp.fc2"),
    ("layer.weight", "prototypes"),
)


def _under(published: str, ours: str, rows: tuple[tuple[str, str], ...]) -> list[tuple[str, str]]:
    return [(f"{published}.{theirs}", f"{ours}.{mine}") for theirs, mine in rows]


KEY_TABLE = (
    ("sparse_tokens", "encoder.sparse_tokens"),
    *_under("encoder", "encoder", _ENCODER),
    ("dense_proj", "factorization.dense_proj"),
    ("sparse_proj", "factorization.sparse_proj"),
    ("decoder_proj", "decoder.proj"),
    ("position_embedding.positional_encoding_gaussian_matrix", "decoder.gaussian"),
    *_under("decoder", "decoder", _VIT),
    ("reconstruction_head", "decoder.head"),
    *_under("clustering_head", "sparse_head", _HEAD),
    *_under("cls_cluster_head", "cls_head", _HEAD),
    ("teacher_sparse_tokens", "teacher.encoder.sparse_tokens"),
    *_under("teacher_encoder", "teacher.encoder", _ENCODER),
    *_under("teacher_head", "teacher.sparse_head", _HEAD),
    *_under("teacher_cls_head", "teacher.cls_head", _HEAD),
    ("tokenizer", "tokenizer"),
)
"""Published prefix to our prefix; what follows it (.weight, .bias, a tokenizer's name) stays."""

UNUSED = re.compile(r"(teacher_)?encoder\.pooler\.|decoder\.(pooler|embeddings)\.")
"""Published parameters that no computation reads."""


class UnknownWeights(UserError):
    """A tensor's name belongs to no part of the model."""


def from_published(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Our names and fused qkv from the published layout. Raises UnknownWeights for a name that it
    does not have.
    """
    renamed = {
        _rename(name, forward=True): tensor
        for name, tensor in state.items()
        if not UNUSED.match(name)
    }
    return _fuse(renamed)


def to_published(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The published layout (without its unused parameters) from ours."""
    return {_rename(name, forward=False): tensor for name, tensor in _split(state).items()}


def _rename(name: str, forward: bool) -> str:
    for theirs, ours in KEY_TABLE:
        source, target = (theirs, ours) if forward else (ours, theirs)
        pattern = re.escape(source).replace(r"\{n\}", r"(?P<n>\d+)") + r"(?P<rest>\..+)?$"
        match = re.match(pattern, name)
        if match:
            number = match.groupdict().get("n") or ""
            return target.replace("{n}", number) + (match["rest"] or "")
    raise UnknownWeights(f"{name!r} is not a parameter of a STELLAR model")


def _fuse(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    fused: dict[str, Tensor] = {}
    for name, tensor in state.items():
        if ".attn.q." in name:
            parts = [state[name.replace(".attn.q.", f".attn.{part}.")] for part in "qkv"]
            fused[name.replace(".attn.q.", ".attn.qkv.")] = torch.cat(parts)
        elif ".attn.k." not in name and ".attn.v." not in name:
            fused[name] = tensor
    return fused


def _split(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    split: dict[str, Tensor] = {}
    for name, tensor in state.items():
        if ".attn.qkv." in name:
            for part, rows in zip("qkv", tensor.chunk(3), strict=True):
                split[name.replace(".attn.qkv.", f".attn.{part}.")] = rows
        else:
            split[name] = tensor
    return split
