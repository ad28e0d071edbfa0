"""Pictures by their keys; nothing outside of the folder, and nothing brought is written."""

import os
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from stellar.data import ImageFolder
from stellar.data.folder import ImageFiles
from stellar.exploring import Gallery, gallery
from stellar.exploring.gallery import NoPicture
from stellar.images import UnreadableImage


@pytest.fixture
def photos(tmp_path: Path) -> Gallery:
    folder = tmp_path / "photos"
    for name, colour in (("a.png", "red"), ("b/Cat.png", "green"), ("b/dog.png", "blue")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 30), colour).save(folder / name)
    Image.new("RGB", (9, 9), "white").save(tmp_path / "secret.png")
    (folder / "link.png").symlink_to("../secret.png")
    (folder / "inside.png").symlink_to("a.png")
    return Gallery(ImageFolder(folder), "photos")


def folder(photos: Gallery) -> Path:
    assert isinstance(photos.source, ImageFolder)
    return photos.source.root


def png(size: tuple[int, int] = (20, 10)) -> bytes:
    buffer = BytesIO()
    Image.new("RGB", size, "teal").save(buffer, format="PNG")
    return buffer.getvalue()


def named(photos: Gallery, name: str) -> str:
    key = photos.key_of(name)
    assert key is not None
    return key


def test_pictures_are_listed_and_found_by_name(photos: Gallery) -> None:
    total, keys = photos.listed(1, 2)
    assert (total, keys) == (5, ["1", "2"])
    total, keys = photos.listed(0, 10, "CAT")
    assert [photos.name(key) for key in keys] == ["b/Cat.png"]
    assert photos.listed(0, 10, "bird") == (0, [])
    assert photos.key_of("nothing") is None


def test_names_are_looked_through_in_one_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not one by one, which takes seconds of a million; and no name goes on in the next one."""
    paths = ["a.png", "b/\N{LATIN CAPITAL LETTER E WITH ACUTE}t\u00e9.PNG", "b\n.png", "x.*", "xx"]
    source = ImageFiles(Path("photos"), [*map(os.fsencode, paths), b"\xff.png"])
    names = [source.name(index) for index in range(len(source))]
    for text in ("\u00c9T\u00c9", ".png", ".PNGB", "X", ".*", "\n", r"\xff"):
        expected = [str(i) for i, name in enumerate(names) if text.casefold() in name.casefold()]
        assert Gallery(source, "photos").listed(0, 9, text)[1] == expected
    assert [Gallery(source, "photos").key_of(name) for name in names] == [*"012345"]
    gallery = Gallery(source, "photos")

    def asked_for_one(*_: object) -> str:
        raise AssertionError

    monkeypatch.setattr(ImageFiles, "name", asked_for_one)
    assert gallery.listed(1, 1, ".png") == (4, ["1"])
    assert gallery.key_of("xx") == "4"


def test_links_may_lead_within_the_folder_and_not_out_of_it(photos: Gallery) -> None:
    assert photos.read(named(photos, "inside.png"), 3).shape == (3, 30, 40)
    for look in (photos.read, photos.thumbnail):
        with pytest.raises(NoPicture, match=r"link.png is a link that leads out of"):
            look(named(photos, "link.png"), 3)


@pytest.mark.parametrize(
    "key", ["9", "-1", "", "x", "../a.png", "1e3", "²", "9" * 5000, "0000000000009999", "brought-1"]
)
def test_other_keys_are_no_pictures(photos: Gallery, key: str) -> None:
    for look in (photos.name, photos.opening):
        with pytest.raises(NoPicture, match="no such picture"):
            look(key)


def test_thumbnails_are_made_once(photos: Gallery) -> None:
    key = named(photos, "a.png")
    first = photos.thumbnail(key, 3)
    assert Image.open(BytesIO(first)).size == (40, 30)
    assert photos.thumbnail(key, 3) is first
    Image.new("RGB", (60, 20)).save(folder(photos) / "a.png")
    assert Image.open(BytesIO(photos.thumbnail(key, 3))).size == (60, 20)


@pytest.mark.parametrize(
    ("name", "kept"),
    [("my cat.png", "my cat.png"), ("../../etc/passwd", "passwd"), ("C:\\x\\y.png", "y.png"),
     ("", "picture"), ("..", "picture")],
)  # fmt: skip
def test_what_is_brought_has_a_name_and_no_file(photos: Gallery, name: str, kept: str) -> None:
    before = sorted(folder(photos).rglob("*"))
    key = photos.bring(name, png(), 3)
    assert photos.name(key) == kept
    assert photos.read(key, 3).shape == (3, 10, 20)
    assert Image.open(BytesIO(photos.thumbnail(key, 3))).size == (20, 10)
    assert photos.opening(key).picture == repr(kept)
    assert sorted(folder(photos).rglob("*")) == before


def test_what_is_no_picture_is_not_kept(photos: Gallery) -> None:
    with pytest.raises(UnreadableImage):
        photos.bring("a.png", b"no picture", 3)
    with pytest.raises(NoPicture):
        photos.name("brought-1")


def test_the_oldest_of_what_is_brought_goes(
    photos: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = [photos.bring(f"{index}.png", png(), 3) for index in range(17)]
    with pytest.raises(NoPicture):
        photos.read(keys[0], 3)
    assert photos.name(keys[1]) == "1.png"
    monkeypatch.setattr(gallery, "MOST_BYTES", 2 * len(png()))
    last = photos.bring("last.png", png(), 3)
    assert photos.name(last) == "last.png"
    with pytest.raises(NoPicture):
        photos.read(keys[15], 3)
