"""How files of vision transformers name their parameters: one table for each way.

Transformers has two, for ViT (also MAE and DINO) and for DINOv2; the original code and timm name
them as we do.
"""

import re
from collections.abc import Mapping

from torch import Tensor

from stellar.model.files.layout import Layout
from stellar.model.files.strict_loading import WeightsError

VIT_BLOCKS = (
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
"""The blocks and the last norm of a ViT, as transformers names them."""
VIT_ENCODER = (
    *VIT_BLOCKS,
    ("embeddings.cls_token", "cls_token"),
    ("embeddings.position_embeddings", "pos_embed"),
    ("embeddings.patch_embeddings.projection", "patch_embed.proj"),
)
"""A whole ViT encoder, as transformers names it."""
VIT = Layout(
    name="ViT, MAE or DINO",
    table=VIT_ENCODER,
    unused=re.compile(r"pooler\.|classifier\.|embeddings\.mask_token$"),
)
"""As transformers names them."""
DINOV2 = Layout(
    name="DINOv2",
    table=(
        ("embeddings.cls_token", "cls_token"),
        ("embeddings.position_embeddings", "pos_embed"),
        ("embeddings.register_tokens", "register_tokens"),
        ("embeddings.patch_embeddings.projection", "patch_embed.proj"),
        ("encoder.layer.{n}.norm1", "blocks.{n}.norm1"),
        ("encoder.layer.{n}.attention.attention.query", "blocks.{n}.attn.q"),
        ("encoder.layer.{n}.attention.attention.key", "blocks.{n}.attn.k"),
        ("encoder.layer.{n}.attention.attention.value", "blocks.{n}.attn.v"),
        ("encoder.layer.{n}.attention.output.dense", "blocks.{n}.attn.proj"),
        ("encoder.layer.{n}.layer_scale1.lambda1", "blocks.{n}.ls1.gamma"),
        ("encoder.layer.{n}.norm2", "blocks.{n}.norm2"),
        ("encoder.layer.{n}.mlp.fc1", "blocks.{n}.mlp.fc1"),
        ("encoder.layer.{n}.mlp.fc2", "blocks.{n}.mlp.fc2"),
        ("encoder.layer.{n}.layer_scale2.lambda1", "blocks.{n}.ls2.gamma"),
        ("layernorm", "norm"),
    ),
    unused=re.compile(r"classifier\.|embeddings\.mask_token$"),
)
"""As transformers names it, with and without registers."""
ORIGINAL = Layout(
    name="MAE, DINO, DINOv2 or timm ViT",
    table=(
        ("cls_token", "cls_token"),
        ("pos_embed", "pos_embed"),
        ("register_tokens", "register_tokens"),
        ("reg_token", "register_tokens"),
        ("patch_embed.proj", "patch_embed.proj"),
        ("blocks.{n}", "blocks.{n}"),
        ("norm", "norm"),
    ),
    unused=re.compile(r"head\.|mask_token$|decoder_"),
)
"""As the original code and timm name them: like ours."""
KNOWN = "ViT, MAE, DINO or DINOv2"
"""What can be read."""


def layout_of(state: Mapping[str, Tensor]) -> Layout:
    """The table for these names."""
    if not state.keys() & {"pos_embed", "embeddings.position_embeddings"}:
        raise WeightsError(
            "it has no position table; rotary positions, as in DINOv3, are not supported, "
            f"expected a {KNOWN}"
        )
    if any(re.search(r"\.mlp\.(w12|weights_in)\.", name) for name in state):
        raise WeightsError(
            "its MLPs are gated (SwiGLU, as in DINOv2 giant), which is not supported; "
            "take a smaller model of the family"
        )
    if "cls_token" in state:
        return ORIGINAL
    return DINOV2 if any(".norm1." in name for name in state) else VIT
