"""Picture files: what a viewer shows, from every format and mode; one sentence for the others."""

import io
import os
import pickle
import resource
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import simplejpeg
import tifffile
import torch
import torch.nn.functional as F
from PIL import Image, ImageOps

from stellar.images import UnreadableImage, eight_bits, read_image, read_picture
from stellar.images import files as module

ORIENTATION = 0x0112


@pytest.fixture
def rgb() -> np.ndarray:
    """A smooth picture, 24 high and 36 wide, whose corners differ."""
    coarse = np.array([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [255, 255, 0]]], np.uint8)
    return np.array(Image.fromarray(coarse).resize((36, 24), Image.Resampling.BILINEAR))


@pytest.fixture(params=["simplejpeg", "pillow"])
def decoder(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both states of an installation: with the optional decoder and without it."""
    if request.param == "pillow":
        monkeypatch.setattr(module, "simplejpeg", None)
    return request.param


def read(path: Path) -> np.ndarray:
    image = eight_bits(read_image(path))
    assert image.dtype == torch.uint8
    return image.permute(1, 2, 0).numpy()


def saved(path: Path, image: Image.Image, **options: Any) -> Path:
    image.save(path, **options)
    return path


def same(ours: np.ndarray, expected: np.ndarray, tolerance: int = 0) -> bool:
    assert ours.shape == expected.shape
    return int(np.abs(ours.astype(int) - expected.astype(int)).max()) <= tolerance


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.tif", "a.TIFF", "a.webp"])
def test_lossless_formats_give_the_pixels(tmp_path: Path, rgb: np.ndarray, name: str) -> None:
    options = {"lossless": True} if name.endswith("webp") else {}
    assert same(read(saved(tmp_path / name, Image.fromarray(rgb), **options)), rgb)


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}])
def test_jpeg(tmp_path: Path, rgb: np.ndarray, decoder: str, options: dict) -> None:
    path = saved(tmp_path / "a.jpg", Image.fromarray(rgb), quality=95, **options)
    assert same(read(path), np.array(Image.open(path)))
    assert same(read(path), rgb, 12), decoder


def test_bytes_are_read_as_their_file_is(tmp_path: Path, rgb: np.ndarray, decoder: str) -> None:
    for name in ("a.jpg", "a.png", "a.tif"):
        path = saved(tmp_path / name, Image.fromarray(rgb))
        assert torch.equal(read_image("elsewhere", 3, path.read_bytes()), read_image(path)), decoder
    np.save(tmp_path / "a.npy", rgb)
    data = (tmp_path / "a.npy").read_bytes()
    assert torch.equal(read_image("elsewhere.npy", 3, data), read_image(tmp_path / "a.npy"))
    with pytest.raises(UnreadableImage, match=r"cannot read shard\.tar/a: it is not a JPEG"):
        read_image("shard.tar/a", 3, b"nothing")


def test_the_extension_does_not_matter(tmp_path: Path, rgb: np.ndarray) -> None:
    assert same(read(saved(tmp_path / "a.jpg", Image.fromarray(rgb), format="PNG")), rgb)


def test_grey_and_one_bit(tmp_path: Path, rgb: np.ndarray, decoder: str) -> None:
    grey = Image.fromarray(rgb).convert("L")
    expected = np.array(grey.convert("RGB"))
    assert same(read(saved(tmp_path / "a.png", grey)), expected)
    assert same(read(saved(tmp_path / "a.jpg", grey, quality=95)), expected, 6), decoder
    bits = grey.convert("1")
    assert same(read(saved(tmp_path / "b.png", bits)), np.array(bits.convert("RGB")))


def test_palette_and_animation(tmp_path: Path, rgb: np.ndarray) -> None:
    palette = Image.fromarray(rgb).quantize(64)
    expected = np.array(palette.convert("RGB"))
    assert same(read(saved(tmp_path / "a.png", palette)), expected)
    other = palette.rotate(180)
    path = saved(tmp_path / "a.gif", palette, save_all=True, append_images=[other])
    assert same(read(path), expected)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparency_lies_on_white(tmp_path: Path, rgb: np.ndarray, mode: str) -> None:
    base = Image.fromarray(rgb)
    if mode == "P":
        palette = base.quantize(8)
        hidden = int(np.array(palette)[0, 0])
        image = read(saved(tmp_path / "a.png", palette, transparency=hidden))
        expected = np.array(palette.convert("RGB"))
        expected[np.array(palette) == hidden] = 255
    else:
        base = base.convert(mode)
        alpha = np.zeros((24, 36), np.uint8)
        alpha[:, 18:] = 128
        base.putalpha(Image.fromarray(alpha))
        image = read(saved(tmp_path / "a.png", base))
        shown = np.array(base.convert("RGB")).astype(float)
        share = alpha[..., None] / 255
        expected = np.rint(shown * share + 255 * (1 - share))
    assert same(image, expected, 1)


def test_sixteen_bits_are_scaled_and_not_clipped(tmp_path: Path) -> None:
    values = np.linspace(0, 65535, 24 * 36).reshape(24, 36)
    expected = np.rint(values / 257).astype(np.uint8)[..., None].repeat(3, axis=2)
    for name in ("a.png", "a.tif"):
        path = saved(tmp_path / name, Image.fromarray(values.astype(np.uint16)))
        assert same(read(path), expected, 1)


def test_floats_and_integers_of_other_ranges(tmp_path: Path) -> None:
    ramp = np.linspace(0, 1, 24 * 36).reshape(24, 36)
    expected = np.rint(ramp * 255).astype(np.uint8)[..., None].repeat(3, axis=2)
    for values in (
        ramp.astype(np.float32),
        (ramp * 900 - 300).astype(np.float32),
        (ramp * 1e6).astype(np.int32),
    ):
        assert same(read(saved(tmp_path / "a.tif", Image.fromarray(values))), expected, 1)


def test_cmyk(tmp_path: Path, rgb: np.ndarray) -> None:
    image = Image.fromarray(rgb).convert("CMYK")
    assert same(read(saved(tmp_path / "a.tif", image)), rgb, 1)
    assert same(read(saved(tmp_path / "a.jpg", image, quality=95)), rgb, 20)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp", "a.tif"])
def test_rotation_by_exif_is_applied(
    tmp_path: Path, rgb: np.ndarray, decoder: str, name: str, orientation: int
) -> None:
    image = Image.fromarray(rgb)
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    path = saved(tmp_path / name, image, exif=exif, quality=95)
    turns = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_270,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_90,
    }
    expected = image.transpose(turns[orientation]) if orientation > 1 else image
    assert same(read(path), np.array(expected), 30), decoder


@pytest.mark.parametrize(("orientation", "size"), [(1, (1600, 1200)), (6, (1200, 1600))])
def test_a_jpeg_may_be_decoded_in_small(
    tmp_path: Path, orientation: int, size: tuple[int, int]
) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    image = Image.linear_gradient("L").resize((1600, 1200)).convert("RGB")
    image.save(tmp_path / "large.jpg", exif=exif)
    small, full = (read_picture(tmp_path / "large.jpg", least=least) for least in (250, None))
    assert small.full_size == size
    assert full.pixels.shape[1:] == size[::-1]
    assert small.pixels.shape[1:] == (size[1] // 4, size[0] // 4)
    shrunk = F.avg_pool2d(full.pixels.float(), 4)
    torch.testing.assert_close(small.pixels.float(), shrunk, atol=2, rtol=0)
    image.save(tmp_path / "large.png")
    assert read_picture(tmp_path / "large.png", least=250).pixels.shape == (3, 1200, 1600)


def test_unreadable_metadata_does_not_matter(tmp_path: Path, rgb: np.ndarray) -> None:
    path = tmp_path / "a.jpg"
    Image.fromarray(rgb).save(path, exif=b"Exif\0\0II*\0\xff\xff\xff\xffgarbage", quality=95)
    assert same(read(path), rgb, 12)


def test_both_decoders_agree(tmp_path: Path, rgb: np.ndarray) -> None:
    path = saved(tmp_path / "a.jpg", Image.fromarray(rgb).resize((333, 217)), quality=80)
    assert same(read(path), simplejpeg.decode_jpeg(path.read_bytes()))
    assert same(read(path), np.array(ImageOps.exif_transpose(Image.open(path))))


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp", "a.bmp", "a.tif", "a.gif"])
def test_truncated_files_are_unreadable(tmp_path: Path, decoder: str, name: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    whole = saved(tmp_path / f"whole-{name}", Image.fromarray(noise)).read_bytes()
    for share in (0.0, 0.02, 0.5, 0.9):
        path = tmp_path / name
        path.write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(UnreadableImage, match=name) as caught:
            read_image(path)
        assert caught.value.path == str(path), decoder
        assert caught.value.reason
        assert "\n" not in str(caught.value)


def damaged(data: bytes, rng: np.random.Generator) -> bytes:
    """Some bytes changed, cut out, put in, made a number that matters, or the end cut off."""
    changed = bytearray(data)
    for _ in range(rng.integers(1, 8)):
        place, kind = int(len(changed) * rng.random() ** 2), rng.integers(6)
        some = rng.bytes(int(rng.integers(1, 20)))
        number = int(rng.choice([0, 1, 1 << 16, 1 << 31, (1 << 32) - 1]))
        if kind <= 1:
            changed[place : place + 1] = some[:1]
        elif kind == 2:
            del changed[place : place + len(some)]
        elif kind == 3:
            changed[place:place] = some
        elif kind == 4:
            changed[place : place + 4] = struct.pack(rng.choice(["<I", ">I"]), number)
        else:
            del changed[len(changed) - len(some) :]
    return bytes(changed)


def written_by_pillow(kind: str) -> bytes:
    noise = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[ORIENTATION], exif[0x010F] = 6, "maker"
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, kind, exif=exif)
    return buffer.getvalue()


def written_by_tifffile(values: np.ndarray, **options: Any) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, values, **options)
    return buffer.getvalue()


def npy(values: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, values)
    return buffer.getvalue()


TO_DAMAGE = {
    kind: written_by_pillow(kind) for kind in ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")
}
TO_DAMAGE |= {
    "bands": written_by_tifffile(np.arange(16 * 16 * 5, dtype=np.uint8).reshape(16, 16, 5)),
    "floats": written_by_tifffile(np.linspace(0, 1, 256).reshape(16, 16), compression="zlib"),
    "tiles": written_by_tifffile(
        np.zeros((32, 32, 3), np.uint16), photometric="rgb", tile=(16, 16)
    ),
    ".npy": npy(np.zeros((16, 16, 3), np.uint8)),
}


@pytest.mark.parametrize("kind", TO_DAMAGE)
@pytest.mark.parametrize("count", [60, pytest.param(20_000, marks=pytest.mark.slow)])
def test_damaged_files_are_read_or_unreadable(decoder: str, kind: str, count: int) -> None:
    rng, num_read = np.random.default_rng(0), 0
    for number in range(count):
        data, channels = damaged(TO_DAMAGE[kind], rng), (3, 1, 4, 5)[number % 4]
        try:
            pixels = read_image(kind, channels, data)
        except UnreadableImage:
            continue
        num_read += 1
        assert pixels.shape[0] == channels
        assert pixels.dtype == torch.uint8 or (pixels.min() >= 0 and pixels.max() <= 1)
    assert num_read < count, decoder


def test_other_files_are_unreadable(tmp_path: Path) -> None:
    text = tmp_path / "text.jpg"
    text.write_text("not a picture")
    with pytest.raises(UnreadableImage, match="not a JPEG, PNG, WebP, BMP, TIFF or GIF picture"):
        read_image(text)
    with pytest.raises(UnreadableImage, match="No such file"):
        read_image(tmp_path / "missing.png")
    with pytest.raises(UnreadableImage, match="no regular file"):
        read_image(tmp_path)
    os.mkfifo(tmp_path / "camera.jpg")
    with pytest.raises(UnreadableImage, match="no regular file"):
        read_image(tmp_path / "camera.jpg")


@pytest.mark.parametrize("kind", ["EPS", "PPM", "ICO", "TGA"])
def test_other_formats_are_not_opened(tmp_path: Path, rgb: np.ndarray, kind: str) -> None:
    path = saved(tmp_path / "a.png", Image.fromarray(rgb), format=kind)
    with pytest.raises(UnreadableImage):
        read_image(path)


def png_of_zeros(width: int, height: int) -> bytes:
    """A valid one-bit PNG of any size: some kilobytes for hundreds of megapixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    packer = zlib.compressobj(9)
    row = b"\0" * (1 + (width + 7) // 8)
    rows = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


@pytest.mark.parametrize("side", [10_010, 20_000])
def test_bombs_are_refused_before_they_are_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, side: int
) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(png_of_zeros(side, side))
    assert path.stat().st_size < 100_000

    def decoded(*_: object) -> None:
        raise AssertionError("the bomb was decoded")

    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load", decoded)
    with pytest.raises(UnreadableImage, match=r"more than 100 million|exceeds limit"):
        read_image(path)


def test_large_pictures_below_the_limit_are_read_without_a_warning(
    tmp_path: Path, rgb: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    # 864 pixels are now more than Pillow warns of, and a warning is an error in these tests.
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 500)
    assert same(read(saved(tmp_path / "a.png", Image.fromarray(rgb))), rgb)


def test_the_error_can_cross_processes() -> None:
    error = pickle.loads(pickle.dumps(UnreadableImage(Path("a.png"), "it is broken")))
    assert str(error) == "cannot read a.png: it is broken"
    assert (error.path, error.reason) == ("a.png", "it is broken")


def test_a_machine_without_file_handles_makes_no_picture_unreadable(
    tmp_path: Path, rgb: np.ndarray
) -> None:
    """Else a run would leave out, one by one, pictures that nothing is wrong with."""
    file = saved(tmp_path / "a.png", Image.fromarray(rgb))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        with pytest.raises(OSError, match="Too many open files") as caught:
            read_image(file)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert not isinstance(caught.value, UnreadableImage)


LITTLE_MEMORY = """
import resource, sys
from pathlib import Path
from stellar.images import UnreadableImage, read_image

used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (100 << 20), -1))
try:
    read_image(sys.argv[1])
except UnreadableImage:
    print("unreadable")
except MemoryError:
    print("no memory")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs a limit of the memory, as on Linux")
@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_a_machine_without_memory_makes_no_picture_unreadable(tmp_path: Path, name: str) -> None:
    file = saved(tmp_path / name, Image.new("RGB", (8000, 8000)))
    call = [sys.executable, "-c", LITTLE_MEMORY, str(file)]
    done = subprocess.run(call, capture_output=True, text=True, check=False)
    assert done.stdout == "no memory\n", done.stderr
