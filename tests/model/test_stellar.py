"""The model's interface: encode, reconstruct, and both from pieces."""

import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest
import torch

from stellar.config import DecoderConfig, ModelConfig
from stellar.errors import UserError
from stellar.model import MissingTokenizer, Stellar
from stellar.model.vqgan import VQGAN, VQGANConfig
from stellar.presets import PRESETS

TOKENIZER = VQGANConfig(channels=32, multipliers=(1, 1, 2), num_blocks=1, code_dim=8, num_codes=16)


def codes_config(small: ModelConfig, patch_size: int = 4) -> ModelConfig:
    decoder = DecoderConfig(target="codes", num_codes=16, embed_dim=16, depth=1, num_heads=2)
    return replace(small, patch_size=patch_size, image_size=4 * patch_size, decoder=decoder)


@pytest.mark.parametrize("size", [(16, 16), (8, 20), (4, 4)])
@pytest.mark.parametrize("batch", [1, 3])
def test_shapes(small: ModelConfig, size: tuple[int, int], batch: int) -> None:
    model, images = Stellar(small), torch.rand(batch, 3, *size)
    factors = model.encode(images)
    patches = size[0] * size[1] // 16
    assert factors.grid == (size[0] // 4, size[1] // 4)
    assert factors.cls.shape == (batch, 24)
    assert factors.sparse.shape == (batch, 3, 24)
    assert factors.spatial.shape == (batch, patches, 3)
    assert factors.dense.shape == factors.lowrank.shape == (batch, patches, 24)
    drawn = model.reconstruct(factors)
    assert drawn.shape == images.shape
    assert drawn.min() >= 0
    assert drawn.max() <= 1


def test_images_of_a_batch_do_not_see_each_other(small: ModelConfig) -> None:
    model, images = Stellar(small), torch.rand(3, 3, 16, 16)
    together, alone = model.encode(images), model.encode(images[1:2])
    torch.testing.assert_close(together.sparse[1:2], alone.sparse)
    torch.testing.assert_close(model.reconstruct(together)[1:2], model.reconstruct(alone))


def test_pieces_draw_the_same_as_factors(small: ModelConfig) -> None:
    model = Stellar(small)
    factors = model.encode(torch.rand(2, 3, 16, 16))
    drawn = model.reconstruct(factors)
    again = model.reconstruct(sparse=factors.sparse, spatial=factors.spatial)
    torch.testing.assert_close(again, drawn)
    wide = model.encode(torch.rand(2, 3, 8, 20))
    again = model.reconstruct(sparse=wide.sparse, spatial=wide.spatial, grid=(2, 5))
    torch.testing.assert_close(again, model.reconstruct(wide))


def test_reconstruction_only_sees_the_product_of_what_and_where(small: ModelConfig) -> None:
    """Renaming tokens in S and L together changes nothing; renaming those of S alone does."""
    model = Stellar(small)
    factors = model.encode(torch.rand(1, 3, 16, 16))
    drawn = model.decoder(factors.lowrank, factors.grid)
    renamed = replace(factors, sparse=factors.sparse.flip(1), spatial=factors.spatial.flip(2))
    torch.testing.assert_close(model.decoder(renamed.lowrank, renamed.grid), drawn)
    torch.testing.assert_close(model.reconstruct(renamed), model.reconstruct(factors))
    swapped = model.reconstruct(factors, sparse=factors.sparse.flip(1))
    assert not torch.allclose(swapped, model.reconstruct(factors))


def test_pieces_that_do_not_fit_are_refused(small: ModelConfig) -> None:
    model = Stellar(small)
    factors = model.encode(torch.rand(1, 3, 8, 20))
    with pytest.raises(UserError, match=r"pass grid=\(height, width\)"):
        model.reconstruct(sparse=factors.sparse, spatial=factors.spatial)
    with pytest.raises(UserError, match="needs factors, or both"):
        model.reconstruct(sparse=factors.sparse)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
def test_pieces_of_any_precision_are_drawn(small: ModelConfig, dtype: torch.dtype) -> None:
    factors = Stellar(small).encode(torch.rand(2, 3, 16, 16))
    model = Stellar(small).to(dtype)
    drawn = model.reconstruct(factors)
    half = model.reconstruct(sparse=factors.sparse.half(), spatial=factors.spatial.half())
    torch.testing.assert_close(half, drawn, atol=0.02, rtol=0)


@pytest.mark.usefixtures("unchecked")
def test_a_model_is_made_of_its_settings_alone() -> None:
    for other in ({}, PRESETS["demo"]()):
        with pytest.raises(UserError, match=f"a ModelConfig, .* got a {type(other).__name__}"):
            Stellar(other)  # pyright: ignore[reportArgumentType]


@pytest.mark.usefixtures("unchecked")
def test_what_are_no_pieces_gets_a_sentence(small: ModelConfig) -> None:
    model, images = Stellar(small), torch.rand(1, 3, 16, 16)
    factors = model.encode(images)
    sparse, spatial = factors.sparse.detach(), factors.spatial.detach()
    wrong: tuple[tuple[dict[str, Any], str], ...] = (
        ({"sparse": sparse.numpy(), "spatial": spatial}, "sparse must be a tensor, got a ndarray"),
        ({"sparse": sparse[..., :7], "spatial": spatial}, r"with D = 24, .* got \(1, 3, 7\)"),
        ({"sparse": sparse[0], "spatial": spatial}, r"sparse must be \(B K D\)"),
        ({"sparse": sparse.expand(2, -1, -1), "spatial": spatial}, "of as many images"),
        ({"sparse": sparse, "spatial": spatial, "grid": 4}, r"\(height, width\) in patches, got 4"),
        ({"sparse": sparse, "spatial": spatial[:, :0]}, r"at least one patch, got .* \(1, 0, 3\)"),
        ({"sparse": sparse, "spatial": spatial, "grid": (-4, -4)}, r"in patches, got \(-4, -4\)"),
        ({"sparse": sparse, "spatial": spatial, "grid": (4.0, 4.0)}, r"in patches, got \(4.0, 4"),
        ({"factors": images}, "the factors that encode gives.*got a Tensor"),
    )
    for pieces, message in wrong:
        with pytest.raises(UserError, match=message):
            model.reconstruct(**pieces)


def test_factors_go_where_tensors_go(small: ModelConfig) -> None:
    factors = Stellar(small).encode(torch.rand(1, 3, 16, 16))
    moved = factors.to("cpu", torch.float64)
    assert torch.equal(moved.lowrank, factors.spatial.double() @ factors.sparse.double())
    assert (moved.grid, moved.preparation) == (factors.grid, factors.preparation)


def test_factors_are_equal_to_themselves_alone(small: ModelConfig) -> None:
    model, images = Stellar(small), torch.rand(1, 3, 16, 16)
    factors = model.encode(images)
    assert factors == factors
    assert factors != model.encode(images)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision(small: ModelConfig, dtype: torch.dtype) -> None:
    model, images = Stellar(small).eval(), torch.rand(2, 3, 16, 16)
    expected = model.encode(images)
    half = model.to(dtype)
    factors = half.encode(images.to(dtype))
    assert factors.sparse.dtype == dtype
    similarity = torch.cosine_similarity(factors.sparse.float(), expected.sparse, dim=2)
    assert similarity.min() > 0.99
    assert half.reconstruct(factors).shape == images.shape


COMPILE = """
import torch
from stellar import InputError
from stellar.model import Stellar
from stellar.presets import demo

model, images = Stellar(demo().model).eval(), torch.rand(2, 3, 48, 48)
compiled = torch.compile(model.encode, backend="aot_eager", fullgraph=True)
with torch.no_grad():
    torch.testing.assert_close(compiled(images).sparse, model.encode(images).sparse)

# Here, because annotations are not checked: what is no picture at all, and no fit.
for nothing, fit, words in (
    (None, None, "got NoneType"),
    ([3, 4], None, "picture 0: expected a path"),
    (images, "corp", "did you mean 'crop'?"),
    (images, 3, "fit must be one of crop, squash, resize, pad, exact, got 3"),
    (images, ["crop"], "fit must be one of crop, squash, resize, pad, exact, got ['crop']"),
):
    try:
        model.encode(nothing, fit)
    except InputError as error:
        assert words in str(error), error
    else:
        raise AssertionError(nothing)
"""


def test_compiles_without_a_graph_break() -> None:
    """In a process of its own: the shape checks of the tests are no part of the product, and
    cannot be compiled.
    """
    done = subprocess.run([sys.executable, "-c", COMPILE], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("patch_size", [4, 3])
def test_codes_of_any_patch_size(small: ModelConfig, patch_size: int) -> None:
    """A patch that is not the tokenizer's cell: the image is resized for it, and the drawing
    back.
    """
    model = Stellar(codes_config(small, patch_size), VQGAN(TOKENIZER))
    images = torch.rand(2, 3, 4 * patch_size, 2 * patch_size)
    assert model.codes(images).shape == (2, 8)
    drawn = model.reconstruct(model.encode(images))
    assert drawn.shape == images.shape
    assert drawn.min() >= 0
    assert drawn.max() <= 1


def test_a_missing_tokenizer_is_named(small: ModelConfig) -> None:
    model = Stellar(codes_config(small))
    factors = model.encode(torch.rand(1, 3, 16, 16))
    with pytest.raises(MissingTokenizer, match=r"maskgit-vqgan-imagenet-f16-256.bin"):
        model.reconstruct(factors)
