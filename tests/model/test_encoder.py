"""The encoder, with a position table and with rotary positions: sizes, kept patches, and the parts
that are not read.
"""

from dataclasses import replace
from typing import Any

import pytest
import torch

from stellar.config import ConfigError, ModelConfig
from stellar.images import InputError
from stellar.model.encoder import Encoder, Request

ROTARY: dict[str, Any] = {"rope_theta": 100.0, "gated_mlp": True, "num_registers": 1}


@pytest.fixture(params=[{}, ROTARY], ids=["table", "rotary"])
def small(small: ModelConfig, request: pytest.FixtureRequest) -> ModelConfig:
    return replace(small, **request.param)


def test_keeping_every_patch_changes_nothing(small: ModelConfig) -> None:
    encoder, images = Encoder(small), torch.rand(2, 3, 16, 16)
    whole = encoder(images)
    kept = encoder(images, torch.arange(16).expand(2, -1))
    torch.testing.assert_close(kept.dense, whole.dense)
    torch.testing.assert_close(kept.cls, whole.cls)


def test_dropped_patches_have_no_influence(small: ModelConfig) -> None:
    encoder, images = Encoder(small), torch.rand(2, 3, 16, 16)
    keep = torch.tensor([[0, 5, 10], [3, 4, 15]])
    changed = images.clone()
    for image, kept in enumerate(keep.tolist()):
        for patch in set(range(16)) - set(kept):
            row, column = 4 * (patch // 4), 4 * (patch % 4)
            changed[image, :, row : row + 4, column : column + 4] = 0
    for name in ("cls", "sparse", "dense"):
        expected = getattr(encoder(images, keep), name)
        torch.testing.assert_close(getattr(encoder(changed, keep), name), expected)
    assert encoder(images, keep).dense.shape == (2, 3, 24)


@pytest.mark.parametrize("keep", [None, torch.tensor([[0, 5, 10], [3, 4, 15]])])
def test_reading_less_gives_the_same_tokens(small: ModelConfig, keep: torch.Tensor | None) -> None:
    encoder, images = Encoder(small), torch.rand(2, 3, 16, 16)
    whole = encoder(images, keep)
    tokens, cls = encoder(images, keep, read="tokens"), encoder(images, keep, read="cls")
    torch.testing.assert_close(tokens.cls, whole.cls)
    torch.testing.assert_close(tokens.sparse, whole.sparse)
    torch.testing.assert_close(cls.cls, whole.cls)
    assert tokens.dense.shape[1] == cls.sparse.shape[1] == cls.dense.shape[1] == 0


@pytest.mark.parametrize(
    "sizes",
    [
        {},
        {"depth": 1},
        {"num_registers": 2, "layer_scale": True},
        {"num_sparse_tokens": 0, "bottleneck": 5},
    ],
    ids=["tokens", "one block", "registers", "bottleneck"],
)
def test_packed_images_get_what_each_group_gets_by_itself(
    small: ModelConfig, sizes: dict[str, int]
) -> None:
    encoder = Encoder(replace(small, **sizes))
    requests = [
        Request(torch.rand(2, 3, 16, 16)),
        Request(torch.rand(3, 3, 16, 16), torch.tensor([[0, 5], [3, 15], [7, 8]]), "tokens"),
        Request(torch.randint(0, 256, (5, 3, 8, 8), dtype=torch.uint8), read="cls"),
    ]
    for request, packed in zip(requests, encoder.encode_packed(requests), strict=True):
        alone = encoder(request.images, request.keep, request.read)
        for name in ("cls", "sparse", "dense"):
            torch.testing.assert_close(getattr(packed, name), getattr(alone, name))


def test_packed_images_share_all_blocks_but_the_last(small: ModelConfig) -> None:
    encoder, rows = Encoder(replace(small, depth=3)), list[list[int]]()
    for block in encoder.blocks:
        block.get_submodule("mlp").register_forward_pre_hook(
            lambda _, given: rows.append([*given[0].shape[:-1]])
        )
    encoder.encode_packed(
        [Request(torch.rand(2, 3, 16, 16)), Request(torch.rand(5, 3, 8, 8), read="cls")]
    )
    others = 1 + 3 + small.num_registers
    together = 2 * (others + 16) + 5 * (others + 4)
    assert rows == [[together], [together], [2, others + 16], [5, 1]]


def test_bytes_and_fractions_are_the_same_picture(small: ModelConfig) -> None:
    encoder = Encoder(small)
    pixels = torch.randint(0, 256, (2, 3, 16, 16), dtype=torch.uint8)
    torch.testing.assert_close(encoder(pixels).dense, encoder(pixels / 255).dense)


@pytest.mark.parametrize(("height", "width"), [(8, 24), (32, 16), (4, 4)])
def test_rectangles_and_other_sizes(small: ModelConfig, height: int, width: int) -> None:
    tokens = Encoder(small)(torch.rand(1, 3, height, width))
    assert tokens.dense.shape == (1, height * width // 16, 24)
    assert torch.isfinite(tokens.dense).all()


def test_an_image_that_the_patch_does_not_divide_is_refused(small: ModelConfig) -> None:
    with pytest.raises(InputError, match=r"multiples of the patch size 4, got 18 x 16.*16 x 16"):
        Encoder(small)(torch.rand(1, 3, 18, 16))


def test_sparse_tokens_have_no_position(small: ModelConfig) -> None:
    """Swapping two learned tokens swaps their results, and changes nothing else."""
    encoder, images = Encoder(small), torch.rand(1, 3, 16, 16)
    before = encoder(images).sparse
    with torch.no_grad():
        encoder.sparse_tokens.copy_(encoder.sparse_tokens.flip(0))
    torch.testing.assert_close(encoder(images).sparse, before.flip(1))


def test_patches_that_change_places_are_seen(small: ModelConfig) -> None:
    encoder, images = Encoder(small), torch.rand(1, 3, 16, 16)
    with torch.no_grad():
        for block in encoder.blocks:
            block.get_parameter("attn.qkv.weight").mul_(20)
    swapped = torch.cat([images[..., 8:], images[..., :8]], dim=3)
    assert not torch.allclose(encoder(images).cls, encoder(swapped).cls, atol=1e-4)


def test_rotary_positions_hold_no_weights(small: ModelConfig) -> None:
    names = Encoder(replace(small, rope_theta=100.0)).state_dict().keys()
    assert names == Encoder(replace(small, rope_theta=None)).state_dict().keys() - {"pos_embed"}


def test_heads_that_cannot_be_turned_are_refused(small: ModelConfig) -> None:
    with pytest.raises(ConfigError, match=r"whose width is a multiple of 4, got .* = 24 / 4"):
        replace(small, num_heads=4, rope_theta=100.0)
    with pytest.raises(ConfigError, match=r"rope_theta must be positive or None, got 0"):
        replace(small, rope_theta=0.0)
