"""Encoding with ViT-B/16: ours, in the precision that the machine computes in, against the ViT of
transformers in fp32; and how near bf16 stays to fp32.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parent))

import limits
from stellar.config import ModelConfig
from stellar.cost import encoding_flops
from stellar.model import Stellar
from stellar.precision import choose_device, inference
from stellar.presets import PRESETS
from table import Row, medians, print_rows


def foreign(config: ModelConfig) -> Any:
    """transformers' ViT of the same size, with as many more tokens as ours: a larger picture."""
    from transformers import ViTConfig, ViTModel

    return ViTModel(
        ViTConfig(
            hidden_size=config.embed_dim,
            num_hidden_layers=config.depth,
            num_attention_heads=config.num_heads,
            intermediate_size=int(config.mlp_ratio * config.embed_dim),
            image_size=config.image_size,
            patch_size=config.patch_size,
        ),
        add_pooling_layer=False,
    ).eval()


def rows(preset: str = "b16", batch: int = 8, rounds: int = 5) -> Iterator[Row]:
    """Speed, and the least cosine of a token in bf16 to itself in fp32."""
    torch.manual_seed(0)
    config, device = PRESETS[preset]().model, choose_device("auto")
    model, other = Stellar(config).eval().to(device), foreign(config).to(device)
    images = torch.rand(batch, 3, config.image_size, config.image_size, device=device)

    @torch.inference_mode()
    def plain() -> None:
        other(pixel_values=images)

    def ours() -> torch.Tensor:
        with inference(model):
            return model.encode(images).sparse

    seconds = medians({"ours": ours, "plain": plain}, rounds)
    low = torch.bfloat16 if limits.has_bf16(device) else torch.float32
    limit = limits.matmul_flops(low, device) / encoding_flops(config)
    yield Row(
        f"encoding, {preset}, batch {batch}",
        "images/s",
        batch / seconds["ours"],
        batch / seconds["plain"],
        1.8,
        limit,
        note="plain: transformers' ViT in fp32, which has no tokens beside cls; limit: products "
        f"of matrices in {str(low).removeprefix('torch.')}",
    )
    with torch.inference_mode():
        exact = model.encode(images).sparse
    cosine = torch.cosine_similarity(exact, ours().float(), dim=-1).min().item()
    yield Row("its tokens: least cosine to those of fp32", "", cosine, 1.0, None)


if __name__ == "__main__":
    print_rows("Encoding", rows())
