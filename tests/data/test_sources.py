"""What a user names as data: a folder of pictures, or shards."""

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

import pytest

from stellar.data import DataError, ImageFolder, Shards, open_source
from stellar.data.sources import are_shards, require_outside, whole_path
from stellar.errors import UserError

WriteTar = Callable[..., Path]


def test_a_folder_is_what_it_holds(
    tmp_path: Path, write_tar: WriteTar, save, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "stellar")
    write_tar(tmp_path / "shards/a.tar", {"a.png": 1})
    save(tmp_path / "pictures/deep/a.png", 1)
    assert isinstance(open_source(tmp_path / "shards"), Shards)
    assert isinstance(open_source(tmp_path / "pictures"), ImageFolder)
    write_tar(tmp_path / "pictures/a.tar", {"a.png": 1})
    assert not caplog.text
    assert isinstance(open_source(tmp_path / "pictures"), ImageFolder)
    assert "its pictures are read. To read its shards instead, name them: " in caplog.text
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no pictures"):
        open_source(tmp_path / "empty")


def test_a_folder_that_may_not_be_read_is_named(
    open_folder: Path, without_rights: Callable[[], AbstractContextManager[None]]
) -> None:
    closed = open_folder / "closed"
    closed.mkdir()
    closed.chmod(0)
    for named in (closed, closed / "photos"):
        for opens in (open_source, ImageFolder):
            with without_rights(), pytest.raises(DataError) as caught:
                opens(named)
            assert str(caught.value).startswith(f"{closed} cannot be read (Permission denied); ")


def test_scenes_are_no_folder_unless_there_is_one(
    tmp_path: Path, save, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match="but scenes are drawn in memory, for stellar pretrain"):
        open_source("scenes")
    save(tmp_path / "scenes/a.png", 1)
    assert len(open_source("scenes")) == 1


@pytest.mark.parametrize("name", ["a[1]", "b{1,2}", "c.tar", "d*"])
def test_folders_may_have_odd_names(tmp_path: Path, write_tar: WriteTar, save, name: str) -> None:
    save(tmp_path / name / "a.png", 1)
    assert isinstance(open_source(tmp_path / name), ImageFolder)
    (tmp_path / name / "a.png").unlink()
    write_tar(tmp_path / name / "a.tar", {"a.png": 1})
    assert len(open_source(tmp_path / name)) == 1


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere does not exist"):
        open_source(tmp_path / "nowhere")
    for name in ("nowhere.tar", "{a,b}.tar", "*.tar", "nowhere/x?"):
        with pytest.raises(DataError, match="expected shards"):
            open_source(tmp_path / name)


def test_an_address_may_be_long(tmp_path: Path) -> None:
    """It is no path: no folder is looked for under such a name."""
    address = f"https://example.org/{'long' * 75}.tar?sig=x"
    assert are_shards(address)
    assert whole_path(address) == address
    require_outside(tmp_path / "sheet.png", address)
    with pytest.raises(DataError, match="carries a password or a signature"):
        open_source(address)


def test_an_empty_name_is_no_folder() -> None:
    for call in (open_source, whole_path, partial(require_outside, Path("sheet.png"))):
        with pytest.raises(UserError, match="expected a path or an address, got ''"):
            call("")


def test_names_from_the_root(
    tmp_path: Path, write_tar: WriteTar, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_tar(tmp_path / "data/a.tar", {"a.png": 1})
    monkeypatch.chdir(tmp_path)
    for name in ("data", "data/a.tar", "data/*.tar", "data/{a,b}.tar"):
        assert whole_path(name) == str(tmp_path / name)
    for name in ("nowhere", "s3://bucket/*.tar", "memory://a"):
        assert whole_path(name) == name
    assert not are_shards("data")
    assert are_shards("s3://bucket")
