import numpy as np
import pytest
import torch
from PIL import Image

from stellar.model.factors import Factors
from stellar.pictures import picture_sheet, stacked, token_colours
from stellar.pictures.lettering import spelt
from stellar.pictures.tiles import photograph, segments, token_map


def factors_of(spatial, grid):
    batch, patches, tokens = spatial.shape
    return Factors(
        cls=torch.zeros(batch, 2),
        sparse=torch.zeros(batch, tokens, 2),
        spatial=spatial,
        dense=torch.zeros(batch, patches, 2),
        grid=grid,
    )


def random_batch(batch, size, grid, tokens):
    images = torch.randint(256, (batch, 3, *size), dtype=torch.uint8)
    spatial = torch.randn(batch, grid[0] * grid[1], tokens).softmax(dim=2)
    return images, factors_of(spatial, grid), torch.rand(batch, 3, *size)


@pytest.mark.parametrize(("num_tokens", "distance"), [(2, 150), (6, 80), (16, 40), (64, 12)])
def test_colours_are_distinct_and_stay_when_tokens_are_added(num_tokens, distance):
    colours = np.array(token_colours(num_tokens))
    apart = np.linalg.norm(colours[:, None] - colours[None], axis=2) + 1e3 * np.eye(num_tokens)
    assert apart.min() > distance
    assert token_colours(64)[:num_tokens] == token_colours(num_tokens)
    assert colours.min() >= 0
    assert colours.max() <= 255


@pytest.mark.parametrize(
    ("size", "grid"),
    [
        ((48, 48), (8, 8)), ((224, 224), (14, 14)), ((64, 160), (4, 10)), ((640, 96), (40, 6)),
        ((18, 600), (3, 100)), ((4, 2000), (1, 500)),
    ],
)  # fmt: skip
@pytest.mark.parametrize("num_tokens", [1, 4, 6, 17, 64])
def test_every_shape_gives_a_sheet_of_sensible_size(size, grid, num_tokens):
    images, factors, drawn = random_batch(1, size, grid, num_tokens)
    sheet = picture_sheet(images, factors, drawn)
    assert sheet.mode == "RGB"
    assert 600 < sheet.width < 5000
    assert 100 < sheet.height < 400
    edge = np.asarray(sheet)[[0, -1]]
    assert (edge == 255).all(), "the margins are white"


def test_maps_of_a_flat_picture_are_as_large_as_the_picture_and_lie_below_each_other():
    """Six maps of a picture seven pixels high, and the title below."""
    images = torch.zeros(1, 3, 18, 600, dtype=torch.uint8)
    _, factors, drawn = random_batch(1, (18, 600), (3, 100), 6)
    sheet = np.asarray(picture_sheet(images, factors, drawn, ["a.png"])).astype(int)
    maps = (sheet[94:180, 600:700].sum(axis=(1, 2)) < 255 * 3 * 100).nonzero()[0] + 94
    assert maps.tolist() == [row for top in range(94, 184, 15) for row in range(top, top + 7)]
    title = (sheet[102:, 36:80].sum(axis=(1, 2)) < 255 * 3 * 44).nonzero()[0] + 102
    assert 176 < title[0] < 190


@pytest.mark.parametrize("num_tokens", [6, 12, 64])
def test_a_flat_picture_does_not_widen_the_sheet(num_tokens):
    """Beyond what as many maps of a square picture take."""
    square = picture_sheet(*random_batch(1, (48, 48), (8, 8), num_tokens))
    flat = picture_sheet(*random_batch(1, (3, 1500), (1, 500), num_tokens))
    assert flat.width <= square.width


def test_without_tokens_there_are_input_and_reconstruction():
    images, factors, drawn = random_batch(2, (48, 96), (8, 16), 0)
    sheet = picture_sheet(images, factors, drawn, ["a.png", "b.png"])
    with_tokens = picture_sheet(*random_batch(2, (48, 96), (8, 16), 3), ["a.png", "b.png"])
    assert sheet.height == with_tokens.height
    assert 2 * 192 < sheet.width < with_tokens.width - 2 * 192


def test_rows_and_titles_add_height_and_one_image_is_drawn_the_same_in_any_batch():
    images, factors, drawn = random_batch(3, (48, 48), (8, 8), 6)
    sheet = picture_sheet(images, factors, drawn)
    first = picture_sheet(images[:1], factors_of(factors.spatial[:1], (8, 8)), drawn[:1])
    titled = picture_sheet(
        images, factors, drawn, ["a.png", "b\n.png   20.1 dB", "long name " * 100]
    )
    assert sheet.width == first.width == titled.width
    assert first.height < sheet.height < titled.height
    rows = first.height - 40
    assert np.array_equal(np.asarray(sheet)[:rows], np.asarray(first)[:rows])


def test_names_that_the_font_cannot_spell_can_still_be_told_apart():
    for name, shown in (
        ("a_Z-9.png   20.1 dB", "a_Z-9.png   20.1 dB"),
        ("été/ça.gif", "ete/ca.gif"),
        ("e\u0301te\u0301", "ete"),
        ("日本.png", r"\u65e5\u672c.png"),
        ("が", r"\u304c"),  # not that of another letter without its accent
        ("ß😀", r"\xdf\U0001f600"),
        ("a\nb\udcff", r"a\nb\udcff"),
    ):
        assert spelt(name, 14) == shown
    batch = random_batch(2, (48, 48), (8, 8), 4)
    sheets = [picture_sheet(*batch, titles) for titles in (["日", "本"], ["日", "日"])]
    assert sheets[0].tobytes() != sheets[1].tobytes()


def test_the_pictures_of_a_row_show_the_input_and_the_reconstruction():
    """A red input and a blue reconstruction, in half precision."""
    images = torch.zeros(1, 3, 48, 48, dtype=torch.uint8)
    images[:, 0] = 255
    drawn = torch.zeros(1, 3, 48, 48, dtype=torch.float16)
    drawn[:, 2] = 1
    spatial = torch.ones(1, 16, 3, dtype=torch.float16) / 3
    pixels = np.asarray(picture_sheet(images, factors_of(spatial, (4, 4)), drawn)).reshape(-1, 3)
    red, blue = (pixels == (255, 0, 0)).all(axis=1), (pixels == (0, 0, 255)).all(axis=1)
    assert red.sum() == blue.sum() > 200**2


@pytest.mark.parametrize("channels", [1, 2, 4, 7])
def test_other_channels_are_shown_as_grey_or_by_the_first_three(channels):
    images = torch.randint(256, (2, channels, 48, 48), dtype=torch.uint8)
    drawn = torch.rand(2, channels, 48, 48)
    _, factors, _ = random_batch(2, (48, 48), (8, 8), 6)
    shown = [0, 1, 2] if channels >= 3 else [0, 0, 0]
    expected = picture_sheet(images[:, shown], factors, drawn[:, shown])
    assert picture_sheet(images, factors, drawn).tobytes() == expected.tobytes()
    assert picture_sheet(images / 255, factors, drawn).tobytes() == expected.tobytes()


def test_sheets_can_be_stacked():
    first = picture_sheet(*random_batch(1, (48, 48), (8, 8), 6))
    second = picture_sheet(*random_batch(1, (48, 96), (8, 16), 6))
    whole = stacked([first, second])
    assert whole.size == (max(first.width, second.width), first.height + second.height)
    assert np.array_equal(np.asarray(whole)[first.height :, : second.width], np.asarray(second))
    assert stacked([first]) is first


def test_segments_are_the_argmax_in_the_colours_of_the_tokens():
    image = torch.full((3, 40, 60), 128, dtype=torch.uint8)
    maps = torch.zeros(4, 2, 3)
    maps[1, :, :1], maps[3, :, 1:] = 1, 1
    pixels = np.asarray(segments(image, maps, (120, 80))).astype(int)
    colours = np.array(token_colours(4))
    for column, token in ((5, 1), (115, 3)):
        distance = np.abs(colours - pixels[40, column]).sum(axis=1)
        assert distance.argmin() == token
    assert len(np.unique(pixels[:, :30].reshape(-1, 3), axis=0)) == 1, "plain inside a segment"
    assert pixels.sum(axis=2).max() > pixels[40, 5].sum() + 100, "a light contour between them"


def test_a_map_is_as_strong_as_the_token_is_used():
    image = torch.full((3, 24, 24), 90, dtype=torch.uint8)
    colour = np.array(token_colours(2)[0])
    distances = []
    for strength in (0.0, 0.3, 1.0):
        maps = torch.stack([torch.full((4, 4), strength), torch.full((4, 4), 1 - strength)])
        pixel = np.asarray(token_map(image, maps, 0, (30, 30)))[15, 15].astype(int)
        distances.append(np.abs(pixel - colour).sum())
    assert distances[0] > distances[1] > distances[2]
    assert distances[2] < 60
    unused = np.asarray(token_map(image, torch.zeros(2, 4, 4), 0, (30, 30)))
    assert (unused == unused[..., :1]).all(), "a token that is not used leaves the picture grey"


def test_an_image_keeps_its_pixels_at_its_own_size():
    image = torch.randint(256, (3, 20, 30), dtype=torch.uint8)
    shown = photograph(image, (30, 20))
    assert isinstance(shown, Image.Image)
    assert np.array_equal(np.asarray(shown), image.permute(1, 2, 0).numpy())
