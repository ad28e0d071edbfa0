"""A folder of pictures: which files, in what order, at what cost in memory."""

import os
import pickle
import socket
from multiprocessing.reduction import ForkingPickler
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from stellar.data.folder import DataError, ImageFolder, ImageSource, evenly_spread
from stellar.data.scenes import Scenes
from stellar.images import UnreadableImage


def fill(root: Path, names: list[str], shade: int = 0) -> Path:
    """Small pictures, each of its own grey."""
    for number, name in enumerate(names):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.full((6, 8, 3), shade + number, np.uint8)
        Image.fromarray(pixels).save(path, format="PNG")
    return root


def names(folder: ImageFolder) -> list[str]:
    return [folder.name(index) for index in range(len(folder))]


def test_finds_pictures_recursively_in_sorted_order(tmp_path: Path) -> None:
    files = ["b.png", "a.JPG", "z/y/x.webp", "z/a.tif", "c/1.bmp", "c/10.gif", "c/2.jpeg"]
    folder = ImageFolder(fill(tmp_path, files))
    assert names(folder) == sorted(files)
    assert isinstance(folder, ImageSource)
    for index, name in enumerate(sorted(files)):
        assert (folder.read(index) == files.index(name)).all()


def test_leaves_out_other_and_hidden_files(tmp_path: Path) -> None:
    fill(tmp_path, ["a.png", ".hidden.png", "._a.png", ".cache/b.png"])
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / "folder.png").mkdir()
    assert names(ImageFolder(tmp_path)) == ["a.png"]


def test_arrays_count_where_a_model_is_not_for_rgb(tmp_path: Path) -> None:
    fill(tmp_path, ["a.png"])
    np.save(tmp_path / "b.npy", np.zeros((6, 8, 5), np.uint16))
    assert names(ImageFolder(tmp_path)) == ["a.png"]
    folder = ImageFolder(tmp_path, channels=5)
    assert names(folder) == ["a.png", "b.npy"]
    assert folder.read(1).shape == (5, 6, 8)
    with pytest.raises(UnreadableImage, match="takes 5 channels, but the picture has 3"):
        folder.read(0)


def test_follows_links_and_survives_loops(tmp_path: Path) -> None:
    fill(tmp_path / "elsewhere", ["a.png"])
    fill(tmp_path / "root", ["b.png"])
    (tmp_path / "root" / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "root" / "loop").symlink_to(tmp_path / "root")
    assert names(ImageFolder(tmp_path / "root")) == ["b.png", "link/a.png"]


def test_unusual_names_are_read(tmp_path: Path) -> None:
    files = ["ü ö.png", "日本/猫.png", "a'b\"c.png", "new\nline.png"]
    folder = ImageFolder(fill(tmp_path, files))
    assert set(names(folder)) == set(files)
    (tmp_path / files[0]).rename(tmp_path / os.fsdecode(b"\xff\xfe.png"))
    folder = ImageFolder(tmp_path)
    assert all(folder.read(index).shape == (3, 6, 8) for index in range(4))
    assert "\\xff\\xfe.png" in names(folder)
    "".join(names(folder)).encode()


def test_a_missing_or_empty_folder_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "empty" / "nested").mkdir(parents=True)
    (tmp_path / "file").touch()
    for path, message in (
        (tmp_path / "missing", "does not exist"),
        (tmp_path / "empty", "no pictures"),
        (tmp_path / "file", "is not a folder"),
    ):
        with pytest.raises(DataError, match=message) as caught:
            ImageFolder(path)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_indices_out_of_range_are_refused(tmp_path: Path) -> None:
    folder = ImageFolder(fill(tmp_path, ["a.png"]))
    for index in (-1, 1):
        with pytest.raises(IndexError):
            folder.read(index)


def test_workers_share_the_paths(tmp_path: Path) -> None:
    for number in range(3000):
        (tmp_path / f"a_rather_long_file_name_{number:06}.png").touch()
    folder = ImageFolder(tmp_path)
    held = [value for value in vars(folder).values() if isinstance(value, torch.Tensor)]
    assert sum(tensor.nbytes for tensor in held) < 3000 * 50
    # Nothing else of the folder grows with the number of files.
    others = {
        name: value for name, value in vars(folder).items() if torch.is_tensor(value) is False
    }
    assert len(pickle.dumps(others)) < 1000
    # What a spawned worker is sent: handles of shared memory, not the paths.
    sent = ForkingPickler.dumps(folder)
    assert len(sent) < 5000
    assert all(tensor.is_shared() for tensor in held)
    received = pickle.loads(sent)
    assert names(received) == names(folder)
    received._bytes[0] = ord("b")
    assert folder.name(0).startswith("b_rather")


def test_pictures_that_are_looked_at_are_spread_over_all_of_them_however_many() -> None:
    """Beyond 2^24 single precision knows no longer every number, and none may be past the end."""
    assert evenly_spread(Scenes("train", length=9), 3) == [0, 4, 8]
    assert evenly_spread(Scenes("train", length=3), 5) == [0, 1, 2]
    for length in (16_777_220, 99_999_999):
        places = evenly_spread(Scenes("train", length=length), 6)
        assert (places[0], places[-1]) == (0, length - 1)
        assert places == sorted(set(places))


def test_what_is_no_regular_file_is_unreadable_and_not_waited_for(
    folder_of_everything: Path,
) -> None:
    folder, reasons = ImageFolder(folder_of_everything), {}
    for index, name in enumerate(names(folder)):
        try:
            folder.read(index)
        except UnreadableImage as error:
            reasons[name] = error.reason
    assert names(folder)[0] == "a.jpg"
    assert reasons == {
        "camera.jpg": "it is no regular file",
        "circle.png": "Too many levels of symbolic links",
        "nothing.png": "No such file or directory",
        "socket.jpg": "it is no regular file",
    }


@pytest.fixture
def folder_of_everything(tmp_path: Path) -> Path:
    """Pictures, and by names of pictures a pipe, a socket, links to nothing and in a circle, and
    folders that link to those above them.
    """
    root = tmp_path / "everything"
    (root / "deep").mkdir(parents=True)
    Image.new("RGB", (4, 4)).save(root / "a.jpg")
    (root / "deep/link.png").symlink_to(root / "a.jpg")
    os.mkfifo(root / "camera.jpg")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(root / "socket.jpg"))  # a whole path may be too long
    (root / "nothing.png").symlink_to(root / "not there")
    (root / "circle.png").symlink_to(root / "circle.png")
    (root / "deep/again").symlink_to(root)
    (root / "deep/self.jpg").symlink_to(root / "deep")
    return root


def test_a_folder_that_cannot_be_entered_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("open", "shut"):
        (tmp_path / name).mkdir()
        Image.new("RGB", (4, 4)).save(tmp_path / name / "a.png")
    scandir = os.scandir

    def refuse(path: str) -> object:
        if path.endswith(refused):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)  # root may enter every folder
    refused = "shut"
    assert names(ImageFolder(tmp_path)) == ["open/a.png"]
    assert f"{tmp_path / 'shut'} cannot be read (Permission denied): left out" in caplog.text
    refused = tmp_path.name
    with pytest.raises(DataError, match=r"cannot be read \(Permission denied\)"):
        ImageFolder(tmp_path)


def test_jpegs_by_other_names(tmp_path: Path) -> None:
    for name in ("a.jfif", "b.JPE", "c.jif"):
        Image.new("RGB", (4, 4)).save(tmp_path / name, format="JPEG")
    assert len(ImageFolder(tmp_path)) == 3
