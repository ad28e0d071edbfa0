"""The encoder: sizes, kept patches, and the parts that are not read."""

import pytest
import torch

from stellar.config import ModelConfig
from stellar.model.encoder import Encoder


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
    with pytest.raises(ValueError, match=r"multiples of the patch size 4, got 18 x 16.*16 x 16"):
        Encoder(small)(torch.rand(1, 3, 18, 16))


def test_sparse_tokens_have_no_position(small: ModelConfig) -> None:
    """Swapping two learned tokens swaps their results, and changes nothing else."""
    encoder, images = Encoder(small), torch.rand(1, 3, 16, 16)
    before = encoder(images).sparse
    with torch.no_grad():
        encoder.sparse_tokens.copy_(encoder.sparse_tokens.flip(0))
    torch.testing.assert_close(encoder(images).sparse, before.flip(1))
