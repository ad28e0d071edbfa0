"""Masks: numbers rather than colours, turned with their pictures, of the same size."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from PIL import ExifTags, Image

from stellar.images import (
    UnreadableImage,
    as_shown,
    decode_mask,
    read_coloured_mask,
    read_image,
    read_mask,
    tiff,
)

NUMBERS = np.array([[0, 1, 2], [255, 20, 7]], np.uint8)


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    Image.new("RGB", (3, 2)).save(tmp_path / "picture.png")
    return tmp_path / "picture.png"


def saved(path: Path, values: np.ndarray) -> Path:
    Image.fromarray(values).save(path)
    return path


def test_grey_and_palette_give_their_numbers(tmp_path: Path, picture: Path) -> None:
    saved(tmp_path / "grey.png", NUMBERS)
    saved(tmp_path / "deep.png", NUMBERS.astype(np.uint16))
    saved(tmp_path / "grey.tif", NUMBERS)
    image = Image.fromarray(NUMBERS)
    image.putpalette([200, 100, 0] * 256)  # one colour for all: only the index tells them apart
    image.save(tmp_path / "palette.png")
    for name in ("grey.png", "deep.png", "grey.tif", "palette.png"):
        found = read_mask(tmp_path / name, picture)
        assert found.dtype == torch.uint8
        assert (found.numpy() == NUMBERS).all()


def test_black_and_white_is_0_and_1(tmp_path: Path, picture: Path) -> None:
    found = read_mask(saved(tmp_path / "m.png", NUMBERS > 5), picture)
    assert found.tolist() == [[0, 0, 0], [1, 1, 1]]


KINDS = ["int16", "uint32", "int64", "uint64", "float16", "float32", "float64"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_whole_numbers_of_any_kind_in_a_tiff(
    tmp_path: Path, picture: Path, kind: str, order: str, compression: str | None
) -> None:
    tifffile.imwrite(
        tmp_path / "m.tif",
        NUMBERS.astype(np.dtype(order + np.dtype(kind).str[1:])),
        compression=compression,
    )
    found = read_mask(tmp_path / "m.tif", picture)
    assert found.dtype == torch.uint8
    assert (found.numpy() == NUMBERS).all()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["uint8", "int64", "float32"])
def test_each_kind_in_a_tiff_is_turned_alike(tmp_path: Path, orientation: int, kind: str) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    Image.fromarray(NUMBERS).convert("RGB").save(tmp_path / "p.png", exif=exif)
    own = [(274, "H", 1, orientation, True)]
    tifffile.imwrite(tmp_path / "m.tif", NUMBERS.astype(kind), extratags=own)
    assert torch.equal(
        read_mask(tmp_path / "m.tif", tmp_path / "p.png"), read_image(tmp_path / "p.png")[0]
    )


def test_a_tiff_of_no_mask_is_one_sentence(
    tmp_path: Path, picture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, holes = tmp_path / "m.tif", np.where(NUMBERS == 7, np.nan, NUMBERS)
    for values, message in (
        (NUMBERS + 0.5, "it holds 0.5, but a mask holds whole numbers, those of classes"),
        (holes, "it holds nan, but a mask holds whole numbers, those of classes"),
        (NUMBERS * 1j, "its numbers are complex, but a mask holds whole numbers"),
        (NUMBERS.astype(np.int64) * 4, "it holds 0 to 1020, but masks hold 0 to 255"),
        (NUMBERS.astype(np.float32) - 1, "it holds -1 to 254, but masks hold 0 to 255"),
        (NUMBERS[:1].astype(np.int64), "it is 3 x 1, but its picture"),
    ):
        tifffile.imwrite(path, values)
        with pytest.raises(UnreadableImage, match=f"m.tif: {message}"):
            read_mask(path, picture)
    tifffile.imwrite(path, np.zeros((2, 3, 3), np.int64), photometric="rgb")
    with pytest.raises(UnreadableImage, match="3 numbers for each pixel, but one was expected"):
        read_mask(path, picture)
    tifffile.imwrite(path, NUMBERS.astype(np.int64))
    monkeypatch.setattr(tiff, "tifffile", None)
    with pytest.raises(UnreadableImage, match=r"Pillow does not read; pip install .*tiff"):
        read_mask(path, picture)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("picture_format", ["png", "tif"])
def test_a_mask_is_turned_with_its_picture(
    tmp_path: Path, orientation: int, picture_format: str
) -> None:
    """Stored pixel on stored pixel; the picture, as it is read, says where each must come."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    values = np.arange(6, dtype=np.uint8).reshape(2, 3) * 40
    picture = tmp_path / f"p.{picture_format}"
    Image.fromarray(values).convert("RGB").save(picture, exif=exif)
    shown = read_image(picture)[0]
    mask = saved(tmp_path / "m.png", values)
    assert torch.equal(read_mask(mask, picture), shown)
    if orientation >= 5:  # its size shows that it was drawn on the turned picture
        upright = saved(tmp_path / "u.png", shown.numpy())
        assert torch.equal(read_mask(upright, picture), shown)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("size", [(2, 3), (3, 3)])
@pytest.mark.parametrize("name", ["m.tif", "m.png"])
def test_what_a_mask_says_of_its_own_turn_changes_nothing(
    tmp_path: Path, orientation: int, size: tuple[int, int], name: str
) -> None:
    """As where a tool took the picture's metadata over; Pillow turns a TIFF itself."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    values = np.arange(size[0] * size[1], dtype=np.uint8).reshape(size) * 20
    Image.fromarray(values).convert("RGB").save(tmp_path / "p.png", exif=exif)
    Image.fromarray(values).save(tmp_path / name, exif=exif)
    assert torch.equal(
        read_mask(tmp_path / name, tmp_path / "p.png"), read_image(tmp_path / "p.png")[0]
    )


def test_pictures_of_other_channels(tmp_path: Path) -> None:
    np.save(tmp_path / "p.npy", np.zeros((2, 3, 5), np.uint8))
    mask = saved(tmp_path / "m.png", NUMBERS)
    assert (read_mask(mask, tmp_path / "p.npy").numpy() == NUMBERS).all()


def test_what_is_no_mask_is_one_sentence(tmp_path: Path, picture: Path) -> None:
    for values, message in (
        (NUMBERS.T.copy(), r"it is 2 x 3, but its picture .*picture.png is 3 x 2; they must be"),
        (np.zeros((2, 3, 3), np.uint8), r"one number for each pixel, its class, but this is RGB"),
        (
            np.full((2, 3), 256, np.uint16),
            r"it holds 256 to 256, but masks hold 0 to 255; they say the class of a pixel, not the",
        ),
    ):
        with pytest.raises(UnreadableImage, match=message):
            read_mask(saved(tmp_path / "m.png", values), picture)
    with pytest.raises(UnreadableImage, match=r"it holds -1 to -1, but masks hold 0 to 255$"):
        read_mask(saved(tmp_path / "m.tif", np.full((2, 3), -1, np.int32)), picture)
    (tmp_path / "m.png").write_bytes(b"nothing")
    with pytest.raises(UnreadableImage, match=r"cannot read .*m\.png: it is no PNG or TIFF file"):
        read_mask(tmp_path / "m.png", picture)
    with pytest.raises(UnreadableImage, match="No such file"):
        read_mask(tmp_path / "none.png", picture)
    with pytest.raises(UnreadableImage, match=r"cannot read .*nowhere\.png: No such file"):
        read_mask(saved(tmp_path / "m.png", NUMBERS), tmp_path / "nowhere.png")


def test_colours_are_numbers_of_24_bits(tmp_path: Path, picture: Path) -> None:
    colours = np.array([[[1, 0, 0], [0, 1, 0], [0, 0, 1]], [[255] * 3, [3, 2, 1], [0] * 3]])
    found = read_coloured_mask(saved(tmp_path / "m.png", colours.astype(np.uint8)), picture)
    assert found.tolist() == [[1, 256, 65536], [2**24 - 1, 66051, 0]]
    with pytest.raises(UnreadableImage, match="8 bits of R, G and B, but this is L"):
        read_coloured_mask(saved(tmp_path / "grey.png", NUMBERS), picture)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_numbers_are_turned_as_a_file_of_them_is(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    Image.new("RGB", (3, 2)).save(tmp_path / "p.png", exif=exif)
    expected = read_mask(saved(tmp_path / "m.png", NUMBERS), tmp_path / "p.png")
    assert (as_shown(NUMBERS, tmp_path / "p.png") == expected.numpy()).all()
    with pytest.raises(UnreadableImage, match="its annotation does not fit: it is 2 x 1"):
        as_shown(NUMBERS[:1, :2], tmp_path / "p.png")


def test_a_mask_in_memory(tmp_path: Path) -> None:
    data = saved(tmp_path / "m.png", NUMBERS).read_bytes()
    assert (decode_mask("frame 1", data, data).numpy() == NUMBERS).all()
    for wrong in (
        data[:40],
        b"",
        saved(tmp_path / "c.png", np.zeros((2, 3, 3), np.uint8)).read_bytes(),
    ):
        with pytest.raises(UnreadableImage, match="cannot read frame 1"):
            decode_mask("frame 1", wrong, data)
    other = saved(tmp_path / "o.png", NUMBERS[:1]).read_bytes()
    with pytest.raises(UnreadableImage, match="its mask is 3 x 2, but its picture is 3 x 1"):
        decode_mask("frame 1", data, other)
