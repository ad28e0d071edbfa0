"""The published layout of STELLAR weights (`microsoft/STELLAR`), read and written.

The published files name parameters as transformers' ViT does, keep query, key and value apart,
and carry poolers and decoder embeddings that are never used.
"""

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from stellar.model.files.families import VIT_BLOCKS, VIT_ENCODER
from stellar.model.files.layout import Layout, under

_HEAD = (
    ("predictor.layers.0", "mlp.fc1"),
    ("predictor.layers.2", "mlp.fc2"),
    ("layer.weight", "prototypes"),
)

PUBLISHED = Layout(
    name="published STELLAR",
    table=(
        ("sparse_tokens", "encoder.sparse_tokens"),
        *under("encoder", "encoder", VIT_ENCODER),
        ("dense_proj", "factorization.dense_proj"),
        ("sparse_proj", "factorization.sparse_proj"),
        ("decoder_proj", "decoder.proj"),
        ("position_embedding.positional_encoding_gaussian_matrix", "decoder.gaussian"),
        *under("decoder", "decoder", VIT_BLOCKS),
        ("reconstruction_head", "decoder.head"),
        *under("clustering_head", "sparse_head", _HEAD),
        *under("cls_cluster_head", "cls_head", _HEAD),
        ("teacher_sparse_tokens", "teacher.encoder.sparse_tokens"),
        *under("teacher_encoder", "teacher.encoder", VIT_ENCODER),
        *under("teacher_head", "teacher.sparse_head", _HEAD),
        *under("teacher_cls_head", "teacher.cls_head", _HEAD),
        ("tokenizer", "tokenizer"),
    ),
    unused=re.compile(r"(teacher_)?encoder\.pooler\.|decoder\.(pooler|embeddings)\."),
)


def with_unused(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors in the published layout, and zeros for those that the published classes own but
    never use, so that their users can load strictly.

    The unused embeddings of the decoder are those of transformers' default ViT, 224 px in patches
    of 16, whatever the encoder's patches are.
    """
    decoder = state["decoder_proj.bias"].shape[0]
    shapes: dict[str, tuple[int, ...]] = {
        "decoder.embeddings.cls_token": (1, 1, decoder),
        "decoder.embeddings.position_embeddings": (1, 197, decoder),
        "decoder.embeddings.patch_embeddings.projection.weight": (decoder, 3, 16, 16),
        "decoder.embeddings.patch_embeddings.projection.bias": (decoder,),
    }
    for part in ("encoder", "decoder", "teacher_encoder"):
        if f"{part}.layernorm.bias" in state:
            width = state[f"{part}.layernorm.bias"].shape[0]
            shapes[f"{part}.pooler.dense.weight"] = (width, width)
            shapes[f"{part}.pooler.dense.bias"] = (width,)
    device = state["decoder_proj.bias"].device
    return {**state, **{name: torch.zeros(shape, device=device) for name, shape in shapes.items()}}
