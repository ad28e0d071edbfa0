"""Attention is attention, whichever kernel computes it."""

import pytest
import torch
import torch.nn.functional as F

from stellar.model import transformer
from stellar.model.transformer import (
    Attention,
    Block,
    BlockSize,
    GatedMlp,
    attend,
    no_weight_decay,
    run_blocks,
    stack,
)


def plain(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    return torch.softmax(q @ k.mT / q.shape[3] ** 0.5, dim=3) @ v


@pytest.mark.parametrize("longest", [0, 1024])
def test_bf16_kernels_agree_in_values_and_gradients(
    longest: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transformer, "LONGEST_PLAIN", longest)
    exact = [torch.randn(2, 2, 7, 16, requires_grad=True) for _ in range(3)]
    rounded = [x.detach().bfloat16().requires_grad_() for x in exact]
    plain(*exact).square().sum().backward()
    attend(*rounded).float().square().sum().backward()
    torch.testing.assert_close(attend(*rounded).float(), plain(*exact), atol=0.03, rtol=0.03)
    for full, half in zip(exact, rounded, strict=True):
        assert full.grad is not None
        assert half.grad is not None
        similarity = torch.cosine_similarity(
            full.grad.flatten(), half.grad.float().flatten(), dim=0
        )
        assert similarity > 0.999


def test_fp32_attention() -> None:
    q, k, v = torch.randn(3, 2, 2, 7, 16)
    torch.testing.assert_close(attend(q, k, v), plain(q, k, v))


def test_attention_against_torchs_own_layer() -> None:
    ours, theirs = Attention(16, 4), torch.nn.MultiheadAttention(16, 4, batch_first=True)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(ours.qkv.weight)
        theirs.in_proj_bias.copy_(ours.qkv.bias)
        theirs.out_proj.weight.copy_(ours.proj.weight)
        theirs.out_proj.bias.copy_(ours.proj.bias)
    x = torch.randn(2, 5, 16)
    torch.testing.assert_close(ours(x), theirs(x, x, x)[0])


def test_a_prefix_is_the_start_of_the_whole() -> None:
    blocks, x = stack(3, BlockSize(16, 4, 32, 1e-12)), torch.randn(2, 9, 16)
    torch.testing.assert_close(run_blocks(blocks, x, 4), run_blocks(blocks, x)[:, :4])


def test_block_is_pre_norm() -> None:
    block, x = Block(BlockSize(16, 4, 32, 1e-12)), torch.randn(1, 5, 16)
    middle = x + block.attn(F.layer_norm(x, (16,), eps=1e-12))
    expected = middle + block.mlp(F.layer_norm(middle, (16,), eps=1e-12))
    torch.testing.assert_close(block(x), expected)


def test_a_gated_mlp_is_a_product_with_the_gate_first() -> None:
    mlp, x = GatedMlp(6, 10, 6), torch.randn(2, 5, 6)
    (gate, value), (gate_bias, value_bias) = mlp.fc1.weight.chunk(2), mlp.fc1.bias.chunk(2)
    opened = x @ gate.T + gate_bias
    hidden = opened * opened.sigmoid() * (x @ value.T + value_bias)
    torch.testing.assert_close(mlp(x), hidden @ mlp.fc2.weight.T + mlp.fc2.bias)


def test_turned_queries_and_keys_are_turned_alone() -> None:
    """A turn by 0 changes nothing; by angles that all tokens share, neither."""
    attention, x = Attention(16, 2), torch.randn(2, 5, 16)
    for angles in (torch.zeros(1, 5, 8), torch.rand(1, 1, 4).repeat(1, 5, 2)):
        turns = torch.stack([angles.cos(), angles.sin()])
        torch.testing.assert_close(attention(x, turns=turns), attention(x))
    angles = torch.arange(5.0)[None, :, None].expand(1, 5, 8)
    turns = torch.stack([angles.cos(), angles.sin()])
    assert not torch.allclose(attention(x, turns=turns), attention(x), atol=1e-3)


def test_what_weight_decay_leaves_alone() -> None:
    matrix, vector = torch.zeros(3, 3), torch.zeros(3)
    assert no_weight_decay("blocks.0.norm1.weight", vector)
    assert no_weight_decay("blocks.0.mlp.fc1.bias", vector)
    for name in ("encoder.sparse_tokens", "encoder.cls_token", "encoder.pos_embed"):
        assert no_weight_decay(name, matrix)
    assert not no_weight_decay("encoder.blocks.0.attn.qkv.weight", matrix)
