"""What encode accepts: the same picture in any form gives the same factors, and it says what was
done.
"""

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nested import nested_tensor

from stellar.config import Fit, ModelConfig
from stellar.images import InputError, UnreadableImage
from stellar.model import Factors, Stellar


def of_channels(config: ModelConfig, channels: int) -> ModelConfig:
    return replace(
        config, in_chans=channels, image_mean=(0.5,) * channels, image_std=(0.25,) * channels
    )


@pytest.fixture
def model(small: ModelConfig) -> Stellar:
    return Stellar(small).eval()


@pytest.fixture
def pixels() -> np.ndarray:
    """A picture of 30 x 22 pixels."""
    return np.random.default_rng(0).integers(0, 256, (22, 30, 3), dtype=np.uint8)


def same(first: Factors, second: Factors) -> bool:
    names = ("cls", "sparse", "spatial", "dense")
    return first.grid == second.grid and all(
        torch.equal(getattr(first, name), getattr(second, name)) for name in names
    )


@pytest.mark.parametrize("fit", ["crop", "squash", "resize", "pad"])
def test_a_picture_is_the_same_in_any_form(
    tmp_path: Path, model: Stellar, pixels: np.ndarray, fit: Fit
) -> None:
    image, path = Image.fromarray(pixels), tmp_path / "a.png"
    image.save(path)
    opened = Image.open(path)
    tensor = torch.from_numpy(pixels).permute(2, 0, 1)
    expected = model.encode(path, fit=fit)
    forms: list[Any] = [
        str(path), image, opened, pixels, tensor, tensor[None], pixels[None],
        [path], (image,), [pixels], [tensor],
    ]  # fmt: skip
    for form in forms:
        assert same(model.encode(form, fit=fit), expected)
    doubles = model.encode(pixels / 255, fit=fit)
    assert torch.cosine_similarity(doubles.sparse, expected.sparse, dim=2).min() > 0.999
    if fit == "crop":
        assert all(same(model.encode(form), expected) for form in (path, image, pixels, tensor))


@pytest.mark.parametrize("channels", [1, 3])
def test_sixteen_bits_are_the_same_in_any_form_and_more_than_eight(
    tmp_path: Path, small: ModelConfig, channels: int
) -> None:
    model = Stellar(of_channels(small, channels)).eval()
    values = np.arange(16 * 16, dtype=np.uint16).reshape(16, 16) + 1000
    image, path = Image.fromarray(values), tmp_path / "a.png"
    image.save(path)
    np.save(tmp_path / "a.npy", values)
    expected = model.encode(path)
    forms = [image, values, values.astype(np.int32), torch.from_numpy(values)[None]]
    for form in [*forms, tmp_path / "a.npy"]:
        assert same(model.encode(form), expected)
    flat = model.encode(np.full((16, 16), 1000 // 257, np.uint8))
    assert not torch.allclose(flat.dense, expected.dense, atol=1e-4)
    assert "16 bits scaled to [0, 1]" in expected.preparation


@pytest.mark.parametrize("channels", [1, 2, 4, 6])
def test_any_number_of_channels(tmp_path: Path, small: ModelConfig, channels: int) -> None:
    model = Stellar(of_channels(small, channels)).eval()
    array = np.random.default_rng(0).random((16, 16, channels)).astype(np.float32)
    np.save(tmp_path / "a.npy", array)
    batch = torch.from_numpy(array).permute(2, 0, 1)[None]
    factors = model.encode(batch)
    assert same(
        model.encode([array, tmp_path / "a.npy"]), model.encode(batch.expand(2, -1, -1, -1))
    )
    assert model.reconstruct(factors).shape == batch.shape
    with pytest.raises(InputError, match=rf"picture 0: the model takes {channels} channel"):
        model.encode(torch.rand(2, 5, 16, 16))


def test_lists_keep_their_order(model: Stellar, pixels: np.ndarray) -> None:
    forms: list[Any] = [
        pixels, Image.fromarray(pixels[:10]), torch.from_numpy(pixels[:, :9]).permute(2, 0, 1),
        pixels[5:, ::-1] / 255, pixels[:, :, 0].astype(np.uint16) * 257,
    ]  # fmt: skip
    together = model.encode(forms)
    assert len(together.cls) == 5
    for place, form in enumerate(forms):
        torch.testing.assert_close(together.sparse[place], model.encode(form).sparse[0])


def test_images_of_a_batch_are_chosen(model: Stellar) -> None:
    factors = model.encode(torch.rand(3, 3, 16, 16))
    assert len(factors) == 3
    assert same(factors[0], factors[:1])
    assert torch.equal(factors[np.int64(-1)].sparse, factors.sparse[2:])
    assert torch.equal(factors[[2, 0]].maps, factors.maps[[2, 0]])
    assert torch.equal(factors[factors.cls[:, 0] < torch.inf].lowrank, factors.lowrank)
    assert [len(each) for each in factors] == [1, 1, 1]
    with pytest.raises(IndexError, match="the images 0 to 2, got 3"):
        factors[3]
    assert model.reconstruct(factors[1]).shape == (1, 3, 16, 16)


def test_a_tensor_batch_of_a_fitting_size_goes_in_as_it_is(model: Stellar) -> None:
    images = torch.rand(2, 3, 8, 20, requires_grad=True)
    factors = model.encode(images)
    assert factors.grid == (2, 5)
    assert factors.preparation == "taken as it came"
    factors.sparse.sum().backward()
    assert images.grad is not None
    assert model.encode(images, fit="crop").grid == (4, 4)
    assert same(model.encode(images, fit="exact"), factors)
    for values in (images * 2 - 1, torch.full_like(images, float("nan"))):
        with pytest.raises(InputError, match=r"must lie in \[0, 1\] .* do not normalise"):
            model.encode(values)
    for height, width in ((9, 20), (0, 20)):
        with pytest.raises(InputError, match=f"multiples of the patch .* got {height} x {width}"):
            model.encode(torch.rand(2, 3, height, width))
    with pytest.raises(InputError, match=r"got 9 x 20; choose another fit: crop, squash"):
        model.encode(torch.rand(2, 3, 9, 20), fit="exact")


def test_a_batch_of_doubles_is_one_of_the_models_precision(model: Stellar) -> None:
    batch = torch.rand(2, 3, 16, 16)
    assert torch.equal(model.encode(batch.double()).sparse, model.encode(batch).sparse)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_a_batch_follows_the_precision_of_the_model(model: Stellar, dtype: torch.dtype) -> None:
    batch = torch.rand(2, 3, 16, 16)
    assert model.encode(batch.to(dtype)).sparse.dtype == torch.float32
    factors = model.to(dtype).encode(batch)
    assert factors.sparse.dtype == dtype
    assert same(factors, model.encode(batch.to(dtype)))


def test_pictures_follow_the_precision_of_the_model(model: Stellar, pixels: np.ndarray) -> None:
    expected = model.encode([pixels, pixels / 255])
    half = model.to(torch.bfloat16).encode([pixels, pixels / 255])
    assert half.sparse.dtype == torch.bfloat16
    assert torch.cosine_similarity(half.sparse.float(), expected.sparse, dim=2).min() > 0.99


def test_the_patches_of_padding_come_last(model: Stellar, pixels: np.ndarray) -> None:
    """22 x 30 pixels in patches of 4: what lies whole inside is encoded from the same pixels."""
    padded = model.encode(pixels, fit="pad")
    assert padded.grid == (6, 8)
    assert model.reconstruct(padded).shape == (1, 3, 24, 32)
    by_hand = np.pad(pixels, ((0, 2), (0, 2), (0, 0)), mode="edge")
    assert same(padded, model.encode(by_hand, fit="exact"))


@pytest.mark.parametrize(
    ("make", "fit", "said"),
    [
        (lambda p: p, None, "1 picture, 30 x 22 to 16 x 16: largest centred square, bicubic"),
        (lambda p: [p, p], "squash", "2 pictures, 30 x 22 to 16 x 16: the whole picture"),
        (lambda p: p, "resize", "30 x 22 to 32 x 24: each side to the nearest multiple"),
        (lambda p: p, "pad", "30 x 22 to 32 x 24: its last row and column repeated"),
        (lambda p: p[:16, :16], None, "1 picture, 16 x 16 kept"),
        (lambda p: p[:8, :20], "exact", "1 picture, 20 x 8 kept"),
        (lambda p: [p, p[:, :9]], None, "2 pictures, 2 sizes (9 x 22 up to 30 x 22) to 16 x 16"),
        (lambda p: p[..., 0], None, "; grey repeated in 3 channels"),
        (lambda p: Image.fromarray(p).convert("LA"), None, "; transparency laid on white"),
    ],
)
def test_it_says_what_was_done(
    model: Stellar, pixels: np.ndarray, make: Callable, fit: Fit | None, said: str
) -> None:
    assert said in model.encode(make(pixels), fit=fit).preparation


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda _: [], "at least one picture, got an empty list"),
        (lambda p: p[None][:0], "at least one picture"),
        (lambda p: [p, np.full((9, 9), np.nan)], r"^picture 1: values must lie in \[0, 1\]"),
        (lambda p: p / 100, r"^values must lie in \[0, 1\] for floating point numbers, got 0 to"),
        (lambda p: p.astype(np.int64), "^expected uint8, uint16 .* got int64"),
        (lambda _: torch.zeros(1, 3, 16, 16, dtype=torch.int64), "picture 0: .* got int64"),
        (lambda p: p[..., :2], r"takes 3 channels \(RGB\), but the picture has 2"),
        (
            lambda p: p.transpose(2, 0, 1),
            r"last in an array \(h w c\), got .* \(30, 3, 22\); move that axis",
        ),
        (lambda _: ["https://example.com/a.jpg"], "^picture 0: https://example.com/a.jpg is an ad"),
        (lambda _: torch.zeros(3, 16, 16, device="meta"), "got a meta one"),
        (lambda _: torch.zeros(1, 3, 16, 16, device="meta"), "got a meta one"),
        (lambda _: [torch.zeros(3, 16, 16).to_sparse()], "^picture 0: .* got a sparse_coo one"),
        (lambda _: torch.zeros(1, 3, 16, 16).to_sparse(), "got a sparse_coo one"),
        (
            lambda _: nested_tensor([torch.zeros(3, 16)], layout=torch.jagged),
            "got a nested one",
        ),
        (lambda _: torch.zeros(1, 3, 16, 16).to(torch.float8_e4m3fn), "got float8_e4m3fn"),
        (lambda _: torch.zeros(16, 16), "expected a picture of channels x height x width"),
    ],
)
def test_what_is_no_picture_gets_a_sentence(
    model: Stellar, pixels: np.ndarray, make: Callable, message: str
) -> None:
    with pytest.raises(InputError, match=message) as caught:
        model.encode(make(pixels))
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("given", [io.BytesIO(), b"", iter(()), None])
def test_what_could_be_made_a_picture_is_told_how(model: Stellar, given: Any) -> None:
    with pytest.raises(InputError, match=r"open bytes and streams with PIL.Image.open, and make a"):
        model.encode(given)


def test_files_that_cannot_be_read_and_sizes_that_differ(
    tmp_path: Path, model: Stellar, pixels: np.ndarray
) -> None:
    (tmp_path / "a.png").write_text("no picture")
    with pytest.raises(UnreadableImage, match=r"cannot read .*a.png: it is not a JPEG"):
        model.encode(tmp_path / "a.png")
    with pytest.raises(InputError, match=r"cannot read .*b.png: No such file"):
        model.encode([pixels, tmp_path / "b.png"])
    whole = tmp_path / "whole.png"
    Image.fromarray(pixels).save(whole)
    (tmp_path / "c.png").write_bytes(whole.read_bytes()[:900])
    with (
        Image.open(tmp_path / "c.png") as truncated,
        pytest.raises(InputError, match=r"^picture 1: .*truncated"),
    ):
        model.encode([pixels, truncated])
    with pytest.raises(InputError, match="one height x width, got 24 x 8, 24 x 32; choose fit"):
        model.encode([pixels, pixels[:, :9]], fit="resize")


def test_a_closed_picture_gets_a_sentence(tmp_path: Path, model: Stellar) -> None:
    Image.new("RGB", (16, 16)).save(tmp_path / "a.png")
    closed, left = Image.open(tmp_path / "a.png"), Image.open(tmp_path / "a.png")
    closed.close()
    with left:
        pass
    for image in (closed, left):
        with pytest.raises(InputError, match=r"^picture 0: .* or was closed before \(.*; open its"):
            model.encode([image])
