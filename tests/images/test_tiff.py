"""TIFF of any kind: the numbers that are stored, or the true reason."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image, ImageCms

from stellar.images import UnreadableImage, read_picture
from stellar.images import tiff as module


@pytest.fixture
def without_tifffile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "tifffile", None)


def numbers(shape: tuple[int, ...], dtype: str) -> np.ndarray:
    rng = np.random.default_rng(0)
    if np.dtype(dtype).kind == "f":
        return rng.random(shape).astype(dtype)
    return rng.integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


def unit(values: np.ndarray) -> np.ndarray:
    largest = np.iinfo(values.dtype).max if values.dtype.kind == "u" else 1
    return values.astype(np.float64) / largest


def read(path: Path, channels: int) -> np.ndarray:
    """(h w c), in [0, 1]."""
    pixels = read_picture(path, channels).pixels
    found = pixels.permute(1, 2, 0).double().numpy()
    return found / 255 if pixels.dtype == torch.uint8 else found


BANDS: dict[str, Any] = {"photometric": "minisblack", "planarconfig": "contig"}
LAYOUTS: dict[str, dict[str, Any]] = {
    "strips": {"rowsperstrip": 5},
    "tiles": {"tile": (16, 16)},
    "deflated": {"compression": "zlib"},
    "LZW": {"compression": "lzw"},
    "predicted": {"compression": "zlib", "predictor": True},
    "big-endian": {"byteorder": ">"},
    "BigTIFF": {"bigtiff": True},
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float16", "float32", "float64"])
@pytest.mark.parametrize("bands", [1, 3, 4, 5])
@pytest.mark.parametrize("apart", [False, True], ids=["together", "apart"])
def test_every_kind_is_read(
    tmp_path: Path, layout: str, dtype: str, bands: int, apart: bool
) -> None:
    values, path = numbers((40, 24, bands), dtype), tmp_path / "a.tif"
    stored = values.transpose(2, 0, 1) if apart else values
    photometric = "rgb" if bands in (3, 4) else "minisblack"
    options = {**LAYOUTS[layout], "photometric": photometric}
    if bands > 1:
        options["planarconfig"] = "separate" if apart else "contig"
    else:
        stored = values[:, :, 0]
    tifffile.imwrite(path, stored, **options)
    if dtype == "float16" and layout == "predicted":
        pytest.skip("no such file: tifffile predicts no halves")
    # Pillow gives 16 bits of colour as 8.
    tolerance = (
        1 / 255 if bands in (3, 4) and dtype == "uint16" else 1e-3 if dtype == "float16" else 1e-6
    )
    np.testing.assert_allclose(read(path, bands), unit(values), atol=tolerance)


@pytest.mark.parametrize("dtype", ["int8", "int16", "int32", "uint32", "int64"])
def test_other_numbers_are_scaled_by_their_own_range(tmp_path: Path, dtype: str) -> None:
    kind = np.iinfo(dtype)
    values = np.linspace(kind.min // 2, kind.max // 2, 480).reshape(20, 24).astype(dtype)
    tifffile.imwrite(tmp_path / "a.tif", values)
    low, high = float(values.min()), float(values.max())
    expected = (values.astype(np.float64) - low) / (high - low)
    np.testing.assert_allclose(read(tmp_path / "a.tif", 1)[:, :, 0], expected, atol=1e-6)
    assert "scaled from its own range to [0, 1]" in read_picture(tmp_path / "a.tif", 1).changes


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_infinite_and_missing_numbers_spoil_no_others(tmp_path: Path, dtype: str) -> None:
    values = numbers((20, 24), dtype)
    for channels, more in itertools.product((1, 3), (np.inf, -np.inf, np.nan)):
        odd = values.copy()
        odd[3, 4] = more
        tifffile.imwrite(tmp_path / "a.tif", odd)
        found = read(tmp_path / "a.tif", channels)[:, :, 0]
        found[3, 4] = values[3, 4]
        np.testing.assert_allclose(found, values, atol=1e-6)
    tifffile.imwrite(tmp_path / "b.tif", np.full((4, 5), np.nan, dtype))
    with pytest.raises(UnreadableImage, match="no finite number"):
        read_picture(tmp_path / "b.tif", 1)


def test_twelve_bits_are_no_dark_sixteen(tmp_path: Path) -> None:
    values = np.linspace(0, 4095, 480).reshape(20, 24).astype(np.uint16)
    try:
        tifffile.imwrite(tmp_path / "a.tif", values, bitspersample=12, photometric="minisblack")
    except NotImplementedError:
        pytest.skip("this version of imagecodecs writes no packed numbers")
    np.testing.assert_allclose(read(tmp_path / "a.tif", 1)[:, :, 0], values / 4095, atol=1e-4)


def test_a_profile_that_is_not_applied_is_told_of(tmp_path: Path) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    values = numbers((3, 20, 24), "uint16")
    for given in (None, profile):
        tifffile.imwrite(
            tmp_path / "a.tif",
            values,
            photometric="rgb",
            planarconfig="separate",
            iccprofile=given,
        )
        told = "the colours of its profile taken as they are"
        assert (told in read_picture(tmp_path / "a.tif", 3).changes) == (given is not None)


def test_white_may_be_zero(tmp_path: Path) -> None:
    for dtype in ("uint8", "uint16", "float32"):
        values = numbers((20, 24), dtype)
        tifffile.imwrite(tmp_path / "a.tif", values, photometric="miniswhite")
        np.testing.assert_allclose(
            read(tmp_path / "a.tif", 1)[:, :, 0], 1 - unit(values), atol=1e-6
        )


@pytest.mark.parametrize("kind", ["assocalpha", "unassalpha", "unspecified"])
def test_a_fourth_number_lies_on_white_only_where_it_is_alpha(tmp_path: Path, kind: str) -> None:
    values = numbers((20, 24, 4), "float32")
    if kind == "assocalpha":
        values[:, :, :3] *= values[:, :, 3:]
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="rgb", extrasamples=[kind])
    colours, alpha = values[:, :, :3], values[:, :, 3:]
    white = {"assocalpha": colours + 1 - alpha, "unassalpha": colours * alpha + 1 - alpha}
    np.testing.assert_allclose(read(tmp_path / "a.tif", 3), white.get(kind, colours), atol=1e-6)
    np.testing.assert_allclose(read(tmp_path / "a.tif", 4), values, atol=1e-6)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_both_readings_turn_alike(tmp_path: Path, orientation: int) -> None:
    values = numbers((20, 24, 3), "uint8")
    for dtype in ("uint8", "float32"):
        stored = values if dtype == "uint8" else unit(values).astype("float32")
        tags = [(274, "H", 1, orientation, True)]
        tifffile.imwrite(tmp_path / f"{dtype}.tif", stored, photometric="rgb", extratags=tags)
    by_pillow, by_tifffile = (read(tmp_path / f"{dtype}.tif", 3) for dtype in ("uint8", "float32"))
    np.testing.assert_allclose(by_pillow, by_tifffile, atol=1e-6)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float64"])
def test_pages_are_channels_where_there_are_as_many(tmp_path: Path, dtype: str) -> None:
    values = numbers((5, 20, 24), dtype)
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="minisblack")
    np.testing.assert_allclose(
        read(tmp_path / "a.tif", 5), unit(values).transpose(1, 2, 0), atol=1e-6
    )
    assert "a page read for each channel" in read_picture(tmp_path / "a.tif", 5).changes
    assert read(tmp_path / "a.tif", 1).shape == (20, 24, 1)
    with tifffile.TiffWriter(tmp_path / "b.tif") as file:
        for side in (20, 24, 20, 20):
            file.write(numbers((side, 24), dtype))
    with pytest.raises(UnreadableImage):
        read_picture(tmp_path / "b.tif", 4)


@pytest.mark.usefixtures("without_tifffile")
def test_without_tifffile_the_reason_is_true_and_says_what_would_help(tmp_path: Path) -> None:
    kinds = {
        "3 numbers of 32 bits (floating point) a pixel": numbers((20, 24, 3), "float32"),
        "1 numbers of 64 bits (floating point) a pixel": numbers((20, 24), "float64"),
        "5 numbers of 8 bits (unsigned) a pixel": numbers((20, 24, 5), "uint8"),
    }
    for said, values in kinds.items():
        tifffile.imwrite(tmp_path / "a.tif", values, **(BANDS if values.ndim > 2 else {}))
        with pytest.raises(UnreadableImage) as caught:
            read_picture(tmp_path / "a.tif", values.shape[2] if values.ndim > 2 else 1)
        assert said in caught.value.reason
        assert 'pip install "stellar-vision[tiff]" reads it' in caught.value.reason
    apart = numbers((3, 20, 24), "uint16")
    tifffile.imwrite(tmp_path / "a.tif", apart, photometric="rgb", planarconfig="separate")
    with pytest.raises(
        UnreadableImage, match=r"misreads a TIFF of 3 numbers of 16 bits .* lie apart"
    ):
        read_picture(tmp_path / "a.tif", 3)


@pytest.mark.parametrize("channels", [1, 3, 5])
def test_truncated_files_are_unreadable(tmp_path: Path, channels: int) -> None:
    for dtype in ("uint8", "float32"):
        values = numbers((64, 48, channels), dtype)
        options = BANDS if channels > 1 else {}
        tifffile.imwrite(tmp_path / "whole.tif", values.squeeze(), rowsperstrip=8, **options)
        whole = (tmp_path / "whole.tif").read_bytes()
        (tmp_path / "a.tif").write_bytes(whole[: len(whole) * 2 // 3])
        with pytest.raises(UnreadableImage):
            read_picture(tmp_path / "a.tif", channels)


def test_bombs_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stellar.images.files.MAX_PIXELS", 400)
    tifffile.imwrite(tmp_path / "a.tif", numbers((40, 24, 5), "uint8"), planarconfig="contig")
    monkeypatch.setattr(
        tifffile.TiffPage, "asarray", lambda *_, **__: pytest.fail("it was decoded")
    )
    with pytest.raises(UnreadableImage, match="more than 0 million"):
        read_picture(tmp_path / "a.tif", 5)


def test_volumes_and_complex_numbers_are_no_pictures(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((20, 24), np.complex64))
    with pytest.raises(UnreadableImage, match="complex"):
        read_picture(tmp_path / "a.tif", 1)
    volume = np.zeros((16, 32, 32), np.uint8)
    tifffile.imwrite(tmp_path / "b.tif", volume, volumetric=True, tile=(16, 16, 16))
    with pytest.raises(UnreadableImage, match="a volume of 16 slices"):
        read_picture(tmp_path / "b.tif", 5)


def test_models_of_three_channels_see_the_same_with_and_without_tifffile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for dtype, mode in itertools.product(("uint8", "uint16"), ("rgb", "minisblack")):
        values = numbers((20, 24, 3) if mode == "rgb" else (20, 24), dtype)
        tifffile.imwrite(tmp_path / "a.tif", values, photometric=mode)
        found = [read_picture(tmp_path / "a.tif", 3)]
        with monkeypatch.context() as patch:
            patch.setattr(module, "tifffile", None)
            found.append(read_picture(tmp_path / "a.tif", 3))
        assert torch.equal(found[0].pixels, found[1].pixels)
        assert found[0].changes == found[1].changes


def test_a_tiff_that_pillow_writes_is_read_by_both(tmp_path: Path) -> None:
    values = numbers((20, 24, 4), "uint8")
    Image.fromarray(values).save(tmp_path / "a.tif")
    assert np.array_equal(np.rint(255 * read(tmp_path / "a.tif", 4)), values)


@pytest.mark.parametrize("dtype", [">i2", ">i4", ">f4"])
@pytest.mark.parametrize("channels", [1, 3])
def test_compressed_numbers_of_either_byte_order_are_the_same(
    tmp_path: Path, dtype: str, channels: int
) -> None:
    """libtiff puts bytes in order, and Pillow exchanges them once more."""
    values = np.arange(20).reshape(4, 5) / 20 * (1 if dtype == ">f4" else 30_000)
    for name, kind in (("big.tif", dtype), ("little.tif", dtype.replace(">", "<"))):
        tifffile.imwrite(tmp_path / name, values.astype(kind), compression="zlib")
    big, little = (read(tmp_path / name, channels) for name in ("big.tif", "little.tif"))
    assert (big == little).all()
    assert np.ptp(big) > 0.1
