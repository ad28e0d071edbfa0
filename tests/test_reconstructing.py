"""Pictures through a model and back."""

import os
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

import stellar
from stellar.config import ModelConfig
from stellar.data import DataError, open_pictures
from stellar.errors import UserError
from stellar.model import Stellar
from stellar.reconstructing import reconstruct


@pytest.fixture
def model(small: ModelConfig) -> Stellar:
    return Stellar(small).eval()


def test_a_folder_is_sampled_evenly(tmp_path: Path, model: Stellar) -> None:
    for number in range(9):
        Image.new("RGB", (20, 30), (20 * number, 99, 30)).save(tmp_path / f"{number}.png")
    result = reconstruct(model, open_pictures([str(tmp_path)], model.config), count=3)
    assert result.names == ["0.png", "4.png", "8.png"]
    assert all(0 < value < 60 for value in result.psnr)
    assert result.sheet.width > 400


def test_single_files_and_broken_ones(tmp_path: Path, model: Stellar) -> None:
    Image.new("L", (20, 30), 77).save(tmp_path / "grey.png")
    (tmp_path / "broken.png").write_bytes(b"no")
    paths = [str(tmp_path / name) for name in ("grey.png", "broken.png")]
    result = reconstruct(model, open_pictures(paths, model.config))
    assert result.names == ["grey.png"]
    assert [name for name, _ in result.unreadable] == ["broken.png"]
    with pytest.raises(DataError, match="none of the 1 pictures looked at can be read"):
        reconstruct(model, open_pictures([paths[1]], model.config))


def test_others_take_the_place_of_broken_ones(tmp_path: Path, model: Stellar) -> None:
    for number in range(30):
        Image.new("RGB", (20, 30), (8 * number, 99, 30)).save(tmp_path / f"{number:02}.png")
    for number in (0, 10, 19, 29):
        (tmp_path / f"{number:02}.png").write_bytes(b"no")
    result = reconstruct(model, tmp_path, count=4)
    assert len(result.names) == len(result.psnr) == 4
    assert result.names == sorted(result.names)
    assert [name for name, _ in result.unreadable] == ["00.png", "10.png", "19.png", "29.png"]
    for file in tmp_path.iterdir():
        file.write_bytes(b"no")
    with pytest.raises(DataError, match="none of the 12 pictures looked at can be read"):
        reconstruct(model, tmp_path, count=4)


def test_whole_pictures_of_different_sizes_are_stacked(tmp_path: Path, model: Stellar) -> None:
    for number, size in enumerate([(20, 32), (20, 32), (9, 70), (21, 33)]):
        Image.new("RGB", size, (20 * number, 99, 30)).save(tmp_path / f"{number}.png")
    source = open_pictures([str(tmp_path)], model.config)
    padded = reconstruct(model, source, fit="pad")
    assert padded.names == ["0.png", "1.png", "2.png", "3.png"]
    assert len(padded.psnr) == 4
    exact = reconstruct(model, source, fit="exact")
    assert exact.names == ["0.png", "1.png"]
    assert [name for name, _ in exact.unreadable] == ["2.png", "3.png"]
    assert "got 70 x 9; choose another fit" in exact.unreadable[0][1]
    assert padded.sheet.height > exact.sheet.height
    alone = reconstruct(model, open_pictures([str(tmp_path / "2.png")], model.config), fit="pad")
    assert padded.psnr[2] == pytest.approx(alone.psnr[0])


def test_drawings_that_are_not_finite_are_refused(tmp_path: Path, model: Stellar) -> None:
    Image.new("L", (20, 30), 77).save(tmp_path / "grey.png")
    with torch.no_grad():
        model.encoder.sparse_tokens.fill_(float("nan"))
    with pytest.raises(UserError, match=r"grey\.png, its drawing, is not finite; .* diverged"):
        reconstruct(model, str(tmp_path / "grey.png"))


def test_embedded_scenes(model: Stellar) -> None:
    assert len(reconstruct(model, open_pictures(["scenes"], model.config), count=2).names) == 2


def test_a_missing_file_is_named(tmp_path: Path, model: Stellar) -> None:
    with pytest.raises(DataError, match=r"but .*nowhere.png does not exist"):
        open_pictures([str(tmp_path / "nowhere.png")], model.config)
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(DataError, match=r"but .*pipe.png is no regular file"):
        open_pictures([str(tmp_path / "pipe.png")], model.config)


@pytest.mark.parametrize("name", ["scenes", "folder", "a.tar"])
def test_what_holds_many_pictures_is_named_alone(
    tmp_path: Path, model: Stellar, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("folder").mkdir()
    with pytest.raises(DataError, match=f"got {name} among 2 names; name it alone"):
        open_pictures(["a.png", name], model.config)


def test_pictures_are_taken_by_their_names(tmp_path: Path, model: Stellar) -> None:
    for number in range(3):
        Image.new("RGB", (20, 30), (20 * number, 99, 30)).save(tmp_path / f"{number}.png")
    files = [tmp_path / "0.png", str(tmp_path / "2.png")]
    for named, names in (
        (tmp_path, ["0.png", "1.png", "2.png"]),
        (str(tmp_path / "1.png"), ["1.png"]),
        (files, ["0.png", "2.png"]),
    ):
        assert stellar.reconstruct(model, named).names == names
    assert len(stellar.reconstruct(model, "scenes", count=2).names) == 2


@pytest.mark.usefixtures("unchecked")
def test_wrong_calls_get_a_sentence(tmp_path: Path, model: Stellar) -> None:
    Image.new("RGB", (20, 30)).save(tmp_path / "a.png")
    call: Any = stellar.reconstruct
    for arguments, options, message in (
        ((model, tmp_path), {"count": 0}, "count must be a whole number of at least 1, got 0"),
        ((model, tmp_path), {"count": -1}, "count must be .* got -1"),
        ((model, tmp_path), {"count": "8"}, "count must be .* got '8'"),
        ((model, tmp_path), {"fit": "x"}, "fit must be one of crop, squash.*got 'x'"),
        ((model, []), {}, "expected at least one picture, got an empty list"),
        ((model, 3), {}, "expected a folder or files of pictures.*got a int"),
        (("stellar-scenes", tmp_path), {}, r"as stellar.load\('stellar-scenes'\) gives one, got '"),
    ):
        with pytest.raises(UserError, match=message):
            call(*arguments, **options)
