"""How files of vision transformers name their parameters: one table for each way.

Transformers has three, for ViT (also MAE and DINO), for DINOv2 and for DINOv3; the original code
and timm name nearly everything as we do.
"""

import re
from collections.abc import Mapping

from torch import Tensor

from stellar.model.files.layout import Layout
from stellar.model.files.strict_loading import WeightsError

PERIODS = "rope_embed.periods"
"""What we call the periods of rotary positions, which DINOv3's own code saves: they tell sizes."""
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
        ("encoder.layer.{n}.mlp.weights_in", "blocks.{n}.mlp.fc1"),
        ("encoder.layer.{n}.mlp.weights_out", "blocks.{n}.mlp.fc2"),
        ("encoder.layer.{n}.layer_scale2.lambda1", "blocks.{n}.ls2.gamma"),
        ("layernorm", "norm"),
    ),
    unused=re.compile(r"classifier\.|embeddings\.mask_token$"),
)
"""As transformers names it, with and without registers; its largest has gated MLPs."""
_DINOV3 = (
    ("embeddings.cls_token", "cls_token"),
    ("embeddings.register_tokens", "register_tokens"),
    ("embeddings.patch_embeddings", "patch_embed.proj"),
    ("layer.{n}.norm1", "blocks.{n}.norm1"),
    ("layer.{n}.attention.q_proj", "blocks.{n}.attn.q"),
    ("layer.{n}.attention.k_proj", "blocks.{n}.attn.k"),
    ("layer.{n}.attention.v_proj", "blocks.{n}.attn.v"),
    ("layer.{n}.attention.o_proj", "blocks.{n}.attn.proj"),
    ("layer.{n}.layer_scale1.lambda1", "blocks.{n}.ls1.gamma"),
    ("layer.{n}.norm2", "blocks.{n}.norm2"),
    ("layer.{n}.mlp.down_proj", "blocks.{n}.mlp.fc2"),
    ("layer.{n}.layer_scale2.lambda1", "blocks.{n}.ls2.gamma"),
    ("norm", "norm"),
)
DINOV3 = Layout(
    name="DINOv3",
    table=(*_DINOV3, ("layer.{n}.mlp.up_proj", "blocks.{n}.mlp.fc1")),
    unused=re.compile(r"embeddings\.mask_token$"),
)
"""As transformers names it."""
DINOV3_GATED = Layout(
    name="DINOv3",
    table=(
        *_DINOV3,
        ("layer.{n}.mlp.gate_proj", "blocks.{n}.mlp.gate"),
        ("layer.{n}.mlp.up_proj", "blocks.{n}.mlp.value"),
    ),
    unused=DINOV3.unused,
)
"""The same, with gated MLPs."""
_OURS = tuple(
    (name, name)
    for name in (
        "cls_token", "register_tokens", "patch_embed.proj", "norm",
        "blocks.{n}.norm1", "blocks.{n}.attn.qkv", "blocks.{n}.attn.proj", "blocks.{n}.ls1",
        "blocks.{n}.norm2", "blocks.{n}.mlp.fc1", "blocks.{n}.mlp.fc2", "blocks.{n}.ls2",
    )
)  # fmt: skip
ORIGINAL = Layout(
    name="MAE, DINO, DINOv2 or timm ViT",
    table=(
        *_OURS,
        ("pos_embed", "pos_embed"),
        ("reg_token", "register_tokens"),
        ("blocks.{n}.mlp.w12", "blocks.{n}.mlp.fc1"),
        ("blocks.{n}.mlp.w3", "blocks.{n}.mlp.fc2"),
    ),
    unused=re.compile(r"head\.|mask_token$|decoder_"),
)
"""As the original code and timm name them: like ours, but for DINOv2's gated MLPs."""
ORIGINAL_DINOV3 = Layout(
    name="DINOv3",
    table=(
        *_OURS,
        ("storage_tokens", "register_tokens"),
        ("reg_token", "register_tokens"),
        ("rope_embed.periods", PERIODS),
        ("blocks.{n}.attn.q_bias", "blocks.{n}.attn.q.bias"),
        ("blocks.{n}.attn.v_bias", "blocks.{n}.attn.v.bias"),
        ("blocks.{n}.gamma_1", "blocks.{n}.ls1.gamma"),
        ("blocks.{n}.gamma_2", "blocks.{n}.ls2.gamma"),
        ("blocks.{n}.mlp.w1", "blocks.{n}.mlp.gate"),
        ("blocks.{n}.mlp.w2", "blocks.{n}.mlp.value"),
        ("blocks.{n}.mlp.w3", "blocks.{n}.mlp.fc2"),
        ("blocks.{n}.mlp.fc1_g", "blocks.{n}.mlp.gate"),
        ("blocks.{n}.mlp.fc1_x", "blocks.{n}.mlp.value"),
    ),
    unused=re.compile(r"head\.|mask_token$|local_cls_norm\."),
)
"""As the original code and timm name it; `local_cls_norm` is for crops in training alone."""
KNOWN = "ViT, MAE, DINO, DINOv2 or DINOv3"
"""What can be read."""


def layout_of(state: Mapping[str, Tensor]) -> Layout:
    """The table for these names. Raises WeightsError where positions or norms are of another
    kind.
    """
    if "cls_norm.weight" in state:
        raise WeightsError(
            "its cls token has a norm of its own (cls_norm), which is not supported; take a DINOv3 "
            "model without, as all published ones"
        )
    if state.keys() & {"pos_embed", "embeddings.position_embeddings"}:
        if "cls_token" in state:
            return ORIGINAL
        return DINOV2 if any(".norm1." in name for name in state) else VIT
    if any(".attention.q_proj." in name for name in state):
        return DINOV3_GATED if any(".gate_proj." in name for name in state) else DINOV3
    # Of timm's other models with rotary positions, those with a cls token have no registers.
    if state.keys() & {"storage_tokens", "reg_token", "rope_embed.periods"}:
        return ORIGINAL_DINOV3
    raise WeightsError(
        "it has no position table, and it is no DINOv3, the one family whose rotary positions "
        f"are supported; expected a {KNOWN}"
    )
