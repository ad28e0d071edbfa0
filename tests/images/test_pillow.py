"""Pillow's images for any number of channels: profiles, alpha, precision, and what is said."""

import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms

from stellar.images import InputError, UnreadableImage, from_pillow, read_image, read_picture


@pytest.fixture
def rgb() -> Image.Image:
    """A smooth colourful picture."""
    coarse = np.random.default_rng(0).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((36, 24), Image.Resampling.BICUBIC)


def swapped_profile() -> bytes:
    """The profile of a display whose red is sRGB's green and the reverse."""
    data = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    for number in range(struct.unpack(">I", data[128:132])[0]):
        place = 132 + 12 * number
        tag = bytes(data[place : place + 4])
        data[place : place + 4] = {b"rXYZ": b"gXYZ", b"gXYZ": b"rXYZ"}.get(tag, tag)
    return bytes(data).replace("sRGB".encode("utf-16-be"), "swap".encode("utf-16-be"))


def array(image: Image.Image, channels: int = 3) -> np.ndarray:
    return from_pillow(image, channels).pixels.permute(1, 2, 0).numpy()


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif", "a.webp"])
def test_another_profile_becomes_srgb(tmp_path: Path, rgb: Image.Image, name: str) -> None:
    options: dict[str, Any] = (
        {"lossless": True} if name.endswith("webp") else {"quality": 95, "subsampling": 0}
    )
    rgb.save(tmp_path / name, icc_profile=swapped_profile(), **options)
    picture = read_picture(tmp_path / name)
    assert picture.changes == ("colours of its profile converted to sRGB",)
    with Image.open(tmp_path / name) as stored:
        expected = np.array(stored)[..., [1, 0, 2]].astype(int)
    assert np.abs(picture.pixels.permute(1, 2, 0).numpy() - expected).max() <= 3


def test_srgb_and_broken_profiles_change_nothing(tmp_path: Path, rgb: Image.Image) -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for profile in (srgb, b"no profile", swapped_profile()[:200]):
        rgb.save(tmp_path / "a.png", icc_profile=profile)
        picture = read_picture(tmp_path / "a.png")
        assert np.array_equal(picture.pixels.permute(1, 2, 0).numpy(), np.array(rgb))
        assert picture.changes == ()
    rgb.convert("L").save(tmp_path / "a.png", icc_profile=swapped_profile())
    assert "profile" not in str(read_picture(tmp_path / "a.png", channels=1).changes)


def test_a_profile_is_applied_before_transparency_lies_on_white(rgb: Image.Image) -> None:
    image = rgb.convert("RGBA")
    alpha = Image.new("L", image.size, 0)
    alpha.putpixel((0, 0), 255)
    image.putalpha(alpha)
    image.info["icc_profile"] = swapped_profile()
    picture = from_pillow(image)
    assert picture.changes == (
        "colours of its profile converted to sRGB",
        "transparency laid on white",
    )
    assert (picture.pixels[:, 1:] == 255).all()
    assert not (picture.pixels[:, 0, 0] == 255).all()


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_alpha_that_hides_everything_is_left_out(rgb: Image.Image, mode: str) -> None:
    image = rgb.convert(mode)
    image.putalpha(0)
    picture = from_pillow(image)
    assert "transparency left out, which hides all of it" in picture.changes
    assert torch.equal(picture.pixels, from_pillow(rgb.convert(mode[:-1])).pixels)


def test_a_palette_is_read_as_the_colours_in_it(tmp_path: Path) -> None:
    """Their profile too, and what hides all of them."""
    colour, size = (200, 30, 60), (8, 6)
    plain, flat = Image.new("RGB", size, colour), Image.new("P", size)
    flat.putpalette(colour)
    for image, name in ((plain, "plain"), (flat, "flat")):
        image.save(tmp_path / f"{name}.png", icc_profile=swapped_profile())
        hidden = colour if image is plain else 0
        image.save(tmp_path / f"{name}-hidden.png", transparency=hidden)
    clear = Image.new("RGBA", size, (*colour, 0))
    clear.save(tmp_path / "clear.png")
    for name, like in (("flat", "plain"), ("flat-hidden", "clear"), ("plain-hidden", "clear")):
        found, expected = (read_picture(tmp_path / f"{each}.png") for each in (name, like))
        assert torch.equal(found.pixels, expected.pixels)
        assert found.changes == expected.changes
        assert len(expected.changes) == 1
    assert torch.equal(from_pillow(flat.convert("PA")).pixels, from_pillow(plain).pixels)


@pytest.mark.parametrize(("mode", "transparent"), [("1", 0), ("L", 60), ("P", 0)])
def test_a_transparent_colour_lies_on_white(mode: str, transparent: int) -> None:
    image = Image.new(mode, (4, 2), transparent)
    image.putpixel((0, 0), 255 if mode != "P" else 1)
    if mode == "P":
        image.putpalette([0, 0, 0, 255, 255, 255])
    image.info["transparency"] = transparent
    picture = from_pillow(image)
    assert picture.changes[0] == "transparency laid on white"
    assert (picture.pixels == 255).all()


@pytest.mark.parametrize(("mode", "channels"), [("LA", 1), ("LA", 3), ("RGBA", 3), ("RGBA", 4)])
def test_colours_that_are_multiplied_by_alpha_are_read(
    rgb: Image.Image, mode: str, channels: int
) -> None:
    multiplied = Image.new(f"{mode[:-1]}a", rgb.size, tuple(60 for _ in mode))
    picture = from_pillow(multiplied, channels)
    assert torch.equal(picture.pixels, from_pillow(multiplied.convert(mode), channels).pixels)
    assert picture.changes[0] == "colours divided by their transparency"


def test_alpha_is_a_channel_only_for_a_model_of_four(rgb: Image.Image) -> None:
    image = rgb.convert("RGBA")
    image.putalpha(77)
    assert np.array_equal(array(image, 4), np.array(image))
    assert from_pillow(image, 4).changes == ()
    assert array(image, 3).shape == (24, 36, 3)
    assert array(image, 1).shape == (24, 36, 1)
    palette = image.convert("P")
    assert np.array_equal(array(palette, 4), np.array(palette.convert("RGBA")))
    for other in (rgb, image.convert("LA"), rgb.convert("P")):
        with pytest.raises(InputError, match=r"takes 4 channels, but the picture has 3"):
            from_pillow(other, 4)
    assert np.array_equal(array(rgb.convert("CMYK"), 4), np.array(rgb.convert("CMYK")))


def test_colours_become_grey_for_a_model_of_one_channel(tmp_path: Path, rgb: Image.Image) -> None:
    rgb.save(tmp_path / "a.jpg", quality=95)
    picture = read_picture(tmp_path / "a.jpg", channels=1)
    with Image.open(tmp_path / "a.jpg") as stored:
        assert np.array_equal(picture.pixels[0].numpy(), np.array(stored.convert("L")))
    assert picture.changes == ("colours converted to grey",)
    rgb.convert("L").save(tmp_path / "b.jpg", quality=95)
    with Image.open(tmp_path / "b.jpg") as stored:
        assert np.array_equal(read_image(tmp_path / "b.jpg", 1)[0].numpy(), np.array(stored))


def test_greys_of_sixteen_bits_keep_them(tmp_path: Path) -> None:
    values = np.arange(24 * 36, dtype=np.uint16).reshape(24, 36) * 75
    for name in ("a.png", "a.tif"):
        Image.fromarray(values).save(tmp_path / name)
        for channels in (1, 3):
            picture = read_picture(tmp_path / name, channels)
            exact = values.astype(np.float32) / 65535
            assert all(np.array_equal(plane.numpy(), exact) for plane in picture.pixels)
            assert picture.changes[0] == "16 bits scaled to [0, 1]"


def test_a_range_of_its_own_is_said(tmp_path: Path) -> None:
    Image.fromarray(np.linspace(-5, 900, 48, dtype=np.float32).reshape(6, 8)).save(
        tmp_path / "a.tif"
    )
    picture = read_picture(tmp_path / "a.tif", channels=1)
    assert picture.changes == ("scaled from its own range to [0, 1]",)
    assert (picture.pixels.min(), picture.pixels.max()) == (0, 1)


def test_arrays_in_files(tmp_path: Path) -> None:
    array = np.random.default_rng(0).random((6, 8, 5)).astype(np.float32)
    np.save(tmp_path / "a.npy", array)
    assert np.array_equal(read_image(tmp_path / "a.npy", 5).permute(1, 2, 0).numpy(), array)
    np.save(tmp_path / "b.npy", np.array([{}]), allow_pickle=True)
    (tmp_path / "c.npy").write_bytes((tmp_path / "a.npy").read_bytes()[:300])
    (tmp_path / "d.npy").write_bytes(b"")
    huge = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        huge, {"descr": "<u1", "fortran_order": False, "shape": (10**6, 10**6)}
    )
    (tmp_path / "e.npy").write_bytes(huge.getvalue())
    for name in "bcde":
        with pytest.raises(UnreadableImage) as caught:
            read_image(tmp_path / f"{name}.npy", 5)
        assert "\n" not in str(caught.value)
    with pytest.raises(UnreadableImage, match=r"takes 3 channels .RGB., but the picture has 5"):
        read_image(tmp_path / "a.npy")


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_pages_of_a_tiff_are_channels_where_there_are_as_many(tmp_path: Path, dtype: type) -> None:
    planes = np.random.default_rng(0).integers(0, 200, (5, 6, 8)).astype(dtype)
    first, *rest = [Image.fromarray(plane) for plane in planes]
    first.save(tmp_path / "a.tif", save_all=True, append_images=rest)
    picture = read_picture(tmp_path / "a.tif", channels=5)
    assert picture.changes[0] == "a page read for each channel"
    scale = 1 if dtype == np.uint8 else 65535
    assert np.allclose(picture.pixels.numpy() * scale, planes)
    assert read_image(tmp_path / "a.tif", channels=1).shape == (1, 6, 8)
    with pytest.raises(UnreadableImage, match="takes 6 channels"):
        read_image(tmp_path / "a.tif", channels=6)
    other = Image.fromarray(np.zeros((7, 8), dtype))
    first.save(tmp_path / "b.tif", save_all=True, append_images=[*rest[1:], other])
    with pytest.raises(UnreadableImage, match="same shape"):
        read_image(tmp_path / "b.tif", channels=5)
