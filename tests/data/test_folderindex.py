"""The listing of a large folder: remembered, and never wrong."""

import os
import time
from pathlib import Path

import pytest

from stellar.data import folderindex
from stellar.data.folder import EXTENSIONS, ImageFolder
from stellar.data.folderindex import pictures_below, walk


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Twenty files in nested folders and behind a link, all older than a moment; twenty is many."""
    monkeypatch.setattr(folderindex, "LARGE", 20)
    monkeypatch.setattr(folderindex, "SETTLED", 0.05)
    root = tmp_path / "root"
    for number in range(20):
        path = root / f"n{number % 3}" / "deep" / f"{number}.jpg"
        if number % 4 == 0:
            path = tmp_path / "elsewhere" / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (root / "link").symlink_to(tmp_path / "elsewhere")
    time.sleep(0.1)
    return root


@pytest.fixture
def listings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The folders that are listed from here on."""
    listed = []
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: listed.append(str(path)) or scandir(path))
    return listed


def plain(root: Path) -> list[bytes]:
    return sorted(os.fsencode(path) for path in walk(str(root), EXTENSIONS))


def below(root: Path) -> list[bytes]:
    return list(pictures_below(root, EXTENSIONS))


def test_a_listing_is_remembered(folder: Path, listings: list[str], user_cache: Path) -> None:
    first = below(folder)
    assert len(first) == 20
    assert len(listings) == 8
    assert below(folder) == first == plain(folder)
    assert len(listings) == 16, "only the plain way lists again"
    assert len(list(user_cache.iterdir())) == 1
    listings.clear()
    names = [ImageFolder(folder).name(index).encode() for index in range(20)]
    assert names == first
    assert listings == []
    # Another set of names is another listing.
    assert list(pictures_below(folder, (".png",))) == []


@pytest.mark.parametrize("change", ["add", "remove", "rename", "add folder", "link", "elsewhere"])
def test_any_change_of_names_is_seen(folder: Path, change: str) -> None:
    before = below(folder)
    deep = folder / "n1/deep"
    match change:
        case "add":
            (deep / "new.jpg").touch()
        case "remove":
            (deep / "1.jpg").unlink()
        case "rename":
            (deep / "1.jpg").rename(deep / "one.jpg")
        case "add folder":
            (folder / "new").mkdir()
            (folder / "new" / "a.jpg").touch()
        case "link":
            (folder / "link").unlink()
            (folder / "link").symlink_to(deep)
        case "elsewhere":
            (folder / "link" / "new.jpg").touch()
    assert below(folder) == plain(folder) != before


def test_time_stamps_that_are_set_back_do_not_deceive(folder: Path) -> None:
    before, deep = below(folder), folder / "n1/deep"
    times = deep.stat()
    (deep / "new.jpg").touch()
    os.utime(deep, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert deep.stat().st_mtime_ns == times.st_mtime_ns
    assert len(below(folder)) == len(before) + 1


def test_a_folder_that_just_changed_is_not_remembered(folder: Path, user_cache: Path) -> None:
    """Two changes within the clock's tick would have one time stamp."""
    (folder / "new.jpg").touch()
    below(folder)
    assert not user_cache.exists()
    time.sleep(0.1)
    below(folder)
    assert len(list(user_cache.iterdir())) == 1


def test_small_folders_are_not_remembered(folder: Path, user_cache: Path) -> None:
    (folder / "n1/deep/1.jpg").unlink()
    time.sleep(0.1)
    assert len(below(folder)) == 19
    assert not user_cache.exists()


def test_a_damaged_listing_is_made_again(folder: Path, user_cache: Path) -> None:
    expected = below(folder)
    (file,) = user_cache.iterdir()
    whole = file.read_bytes()
    for content in (b"", b"{}", whole[:-7], whole[:-1] + b"\xff", whole + b"x"):
        file.write_bytes(content)
        assert below(folder) == expected
        assert file.read_bytes() == whole


def test_without_a_place_to_write_folders_are_listed(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert below(folder) == below(folder) == plain(folder)
