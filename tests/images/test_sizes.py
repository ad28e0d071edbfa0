"""Sizes: resizing like Pillow, and each fit's geometry on pictures with known content."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from stellar.config import Fit, ModelConfig
from stellar.images import InputError, eight_bits, fitted, one_batch, preprocessing
from stellar.images.sizes import ONE_SIZE, resize


def picture(height: int, width: int, seed: int = 0, channels: int = 3) -> torch.Tensor:
    """A smooth random picture with channels-last memory, as decoders give it."""
    coarse = np.random.default_rng(seed).integers(0, 256, (9, 12, channels), dtype=np.uint8)
    planes = [
        Image.fromarray(coarse[:, :, channel]).resize((width, height), Image.Resampling.BICUBIC)
        for channel in range(channels)
    ]
    return torch.from_numpy(np.stack([np.array(plane) for plane in planes], axis=2)).permute(
        2, 0, 1
    )


@pytest.mark.parametrize("size", [(24, 24), (96, 64), (224, 224), (31, 57)])
def test_resizing_agrees_with_pillow(size: tuple[int, int]) -> None:
    image = picture(150, 200)
    expected = Image.fromarray(image.permute(1, 2, 0).numpy())
    expected = expected.resize((size[1], size[0]), Image.Resampling.BICUBIC)
    difference = resize(image, *size).permute(1, 2, 0).int() - torch.from_numpy(
        np.array(expected, dtype=np.int32)
    )
    assert difference.abs().max() <= 2
    assert difference.abs().float().mean() < 0.1


def test_without_antialiasing_it_samples_the_four_nearest_pixels() -> None:
    image = picture(150, 200)
    expected = F.interpolate(image[None].float(), (40, 40), mode="bicubic")[0]
    plain = resize(image, 40, 40, antialias=False)
    assert (plain - expected.clamp(0, 255)).abs().max() <= 1.01
    assert not torch.equal(plain, resize(image, 40, 40))


def test_memory_layout_does_not_matter() -> None:
    image = picture(60, 80)
    planes = image.contiguous()
    assert torch.equal(resize(image, 30, 20), resize(planes, 30, 20))
    assert torch.equal(resize(image[:, 5:50, 7:70], 30, 20), resize(planes[:, 5:50, 7:70], 30, 20))


def test_same_size_is_the_same_image() -> None:
    image = picture(20, 30)
    assert torch.equal(resize(image, 20, 30), image)


@pytest.mark.parametrize("channels", [1, 2, 4, 5, 9])
def test_channels_are_resized_each_by_itself(channels: int) -> None:
    image = picture(60, 80, channels=channels)
    whole = resize(image, 30, 20)
    assert whole.shape == (channels, 30, 20)
    for channel in range(channels):
        alone = resize(image[channel : channel + 1], 30, 20)[0]
        assert (alone.int() - whole[channel].int()).abs().max() <= 1


def test_more_bits_are_resized_without_rounding_and_stay_in_range() -> None:
    image = picture(60, 80)
    fine = resize(image / 255, 30, 20)
    assert fine.dtype == torch.float32
    assert (eight_bits(fine).int() - resize(image, 30, 20).int()).abs().max() <= 1
    edges = (picture(60, 80) > 127).float()
    assert 0 <= resize(edges, 90, 110).min() <= resize(edges, 90, 110).max() <= 1


def ramps(height: int, width: int) -> torch.Tensor:
    """Each pixel tells its place: channel 0 its row, channel 1 its column."""
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return torch.stack([rows, columns, torch.zeros_like(rows)]).to(torch.uint8)


def test_crop_keeps_the_middle_square(small: ModelConfig) -> None:
    image = ramps(60, 100)
    square = replace(small, image_size=60)
    assert torch.equal(fitted(image, "crop", square), image[:, :, 20:80])
    assert torch.equal(fitted(image, "crop", small), resize(image[:, :, 20:80], 16, 16))
    assert fitted(ramps(7, 200), "crop", small).shape == (3, 16, 16)


def test_squash_keeps_everything_in_a_square(small: ModelConfig) -> None:
    out = fitted(ramps(60, 100), "squash", small)
    assert out.shape == (3, 16, 16)
    assert out[0, 0].max() < 6
    assert out[0, -1].min() > 54
    assert out[1, :, 0].max() < 8
    assert out[1, :, -1].min() > 92


@pytest.mark.parametrize(
    ("size", "expected"),
    [((60, 100), (60, 100)), ((61, 99), (60, 100)), ((1, 3), (4, 4)), ((9, 11), (8, 12))],
)
def test_resize_goes_to_the_nearest_multiple(
    small: ModelConfig, size: tuple[int, int], expected: tuple[int, int]
) -> None:
    out = fitted(ramps(*size), "resize", small)
    assert tuple(out.shape[1:]) == expected
    if size == expected:
        assert torch.equal(out, ramps(*size))
    assert int(out[0, -1].min()) >= size[0] - 2


def test_pictures_that_keep_a_large_size_are_warned_of_once(
    small: ModelConfig, caplog: pytest.LogCaptureFixture
) -> None:
    """At 16 px, from 64 px a side on."""
    fitted(torch.zeros(3, 64, 64, dtype=torch.uint8), "resize", small)
    fitted(torch.zeros(3, 65, 66, dtype=torch.uint8), "crop", small)
    assert not caplog.text
    for side in (68, 72):
        fitted(torch.zeros(3, side, 64, dtype=torch.uint8), "resize", small)
    assert caplog.text.count("fit resize gives pictures of more than 16 times the patches") == 1


def test_pad_repeats_the_last_row_and_column(small: ModelConfig) -> None:
    image = ramps(9, 14)
    out = fitted(image, "pad", small)
    assert out.shape == (3, 12, 16)
    assert torch.equal(out[:, :9, :14], image)
    assert torch.equal(out[:, 9:, :14], image[:, -1:].expand(-1, 3, -1))
    assert torch.equal(out[:, :, 14:], out[:, :, 13:14].expand(-1, -1, 2))
    assert torch.equal(fitted(ramps(8, 12), "pad", small), ramps(8, 12))


def test_exact_refuses_what_the_patch_does_not_divide(small: ModelConfig) -> None:
    assert torch.equal(fitted(ramps(8, 12), "exact", small), ramps(8, 12))
    with pytest.raises(InputError, match="multiples of the patch size 4, got 9 x 12; choose"):
        fitted(ramps(9, 12), "exact", small)


@pytest.mark.parametrize("fit", ["crop", "squash", "resize", "pad"])
@pytest.mark.parametrize("size", [(1, 1), (3, 200), (200, 3), (37, 41)])
def test_every_size_ends_at_one_that_the_patch_divides(
    small: ModelConfig, fit: Fit, size: tuple[int, int]
) -> None:
    out = fitted(torch.full((3, *size), 77, dtype=torch.uint8), fit, small)
    assert out.shape[1] % 4 == out.shape[2] % 4 == 0
    assert (out == 77).all()
    if fit in ONE_SIZE:
        assert out.shape == (3, 16, 16)
        assert "16 x 16" in preprocessing(fit, small)


def test_a_batch_has_one_size_and_one_type() -> None:
    bytes_, floats = ramps(4, 8), torch.rand(3, 4, 8)
    assert one_batch([bytes_, bytes_]).dtype == torch.uint8
    mixed = one_batch([bytes_, floats])
    assert torch.equal(mixed, torch.stack([bytes_ / 255, floats]))
    with pytest.raises(InputError, match="one height x width, got 4 x 8, 8 x 4; choose"):
        one_batch([bytes_, ramps(8, 4)])
