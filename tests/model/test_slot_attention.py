"""Slots compete for patches: S and L by the contract of STELLAR's own."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import stellar
from stellar.config import ConfigError, ModelConfig
from stellar.exporting.graphs import Encode
from stellar.model import Stellar
from stellar.model.slot_attention import SlotAttention


@pytest.fixture
def with_slots(small: ModelConfig) -> Stellar:
    return Stellar(replace(small, slot_rounds=3)).eval()


def one_round(module: SlotAttention, slots: Tensor, dense: Tensor) -> tuple[Tensor, Tensor]:
    """The published algorithm, written out for one image: new slots, and the attention."""
    dense = module.norm_dense(dense)
    queries = module.norm_slots(slots) @ module.queries.weight.T
    keys, values = dense @ module.keys.weight.T, dense @ module.values.weight.T
    attention = F.softmax(keys @ queries.T / 8**0.5, dim=1)
    updates = torch.stack(
        [(share[:, None] * values).sum(dim=0) / share.sum() for share in attention.T]
    )
    slots = torch.stack([module.gru(*pair) for pair in zip(updates, slots, strict=True)])
    return slots + module.mlp(module.norm_mlp(slots)), attention


def test_each_round_is_the_published_one() -> None:
    module, dense = SlotAttention(8, 3, rounds=3), torch.randn(2, 10, 8)
    sparse, spatial = module(dense, dense.new_empty(2, 0, 8))
    for image in range(2):
        slots, attention = module.slots, torch.empty(0)
        for _ in range(3):
            slots, attention = one_round(module, slots, dense[image])
        torch.testing.assert_close(sparse[image], slots)
        torch.testing.assert_close(spatial[image], attention)


def test_slots_see_patches_as_a_set() -> None:
    module, dense = SlotAttention(8, 3, rounds=2), torch.randn(1, 10, 8)
    order = torch.randperm(10)
    sparse, spatial = module(dense, dense[:, :0])
    shuffled, shuffled_spatial = module(dense[:, order], dense[:, :0])
    torch.testing.assert_close(shuffled, sparse)
    torch.testing.assert_close(shuffled_spatial, spatial[:, order])


def test_the_encoder_sees_patches_alone(with_slots: Stellar) -> None:
    assert with_slots.encoder.sparse_tokens.numel() == 0
    tokens = with_slots.encoder(torch.rand(2, 3, 16, 16))
    assert tokens.sparse.shape == (2, 0, 24)
    factors = with_slots.encode(torch.rand(2, 3, 16, 24))
    assert factors.sparse.shape == (2, 3, 24)
    assert factors.spatial.shape == (2, 24, 3)
    assert with_slots.reconstruct(factors).shape == (2, 3, 16, 24)


def test_in_other_precisions(with_slots: Stellar) -> None:
    images = torch.rand(2, 3, 16, 16)
    expected = with_slots.encode(images)
    with torch.autocast("cpu", torch.bfloat16):
        found = with_slots.encode(images)
    torch.testing.assert_close(found.spatial, expected.spatial, atol=0.05, rtol=0)
    half = with_slots.bfloat16().encode(images.bfloat16())
    torch.testing.assert_close(half.spatial.float(), expected.spatial, atol=0.05, rtol=0)


def test_saved_and_loaded_and_traced(with_slots: Stellar, tmp_path: Path) -> None:
    with_slots.save_pretrained(tmp_path)
    loaded = stellar.load(str(tmp_path))
    assert loaded.config.slot_rounds == 3
    images = torch.rand(2, 3, 16, 16)
    expected = with_slots.encode(images)
    torch.testing.assert_close(loaded.encode(images).sparse, expected.sparse)
    program = torch.export.export(Encode(with_slots), (images,))
    torch.testing.assert_close(program.module()(images)[1], expected.sparse)


def test_slots_are_needed(small: ModelConfig) -> None:
    with pytest.raises(ConfigError, match=r"slot_rounds = 3 needs slots"):
        replace(small, slot_rounds=3, num_sparse_tokens=0)
    with pytest.raises(ConfigError, match=r"slot_rounds must not be negative, got -1"):
        replace(small, slot_rounds=-1)
