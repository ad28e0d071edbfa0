"""Files are whole or absent, and a flipped byte is noticed."""

import errno
import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

import stellar
from stellar.config import ModelConfig
from stellar.errors import UserError
from stellar.exporting import export
from stellar.model import Stellar
from stellar.storage import (
    NotWritten,
    append,
    closed_at,
    damage,
    hidden,
    one_line,
    place_file,
    place_files,
    place_folder,
    reason_of,
    refusal,
    sweep,
    write_file,
)


def write_two(folder: Path) -> None:
    (folder / "a").write_bytes(b"alpha")
    (folder / "b").write_bytes(b"beta")


def fail(path: Path) -> None:
    target = path / "half" if path.is_dir() else path
    target.write_text("half")
    raise OSError("disk full")


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    write_file(tmp_path / "x.txt", "old")
    with pytest.raises(OSError, match="disk full"):
        place_file(tmp_path / "x.txt", fail)
    assert [file.name for file in tmp_path.iterdir()] == ["x.txt"]
    assert (tmp_path / "x.txt").read_text() == "old"


def test_the_longest_names_are_written(tmp_path: Path) -> None:
    """What is not whole yet lies under another name, which is no longer than a name may be."""
    length = os.pathconf(tmp_path, "PC_NAME_MAX")
    file, folder = tmp_path / f"{'x' * (length - 4)}.txt", tmp_path / ("y" * length)
    write_file(file, "new")
    place_folder(folder, write_two)
    assert file.read_text() == "new"
    assert {inside.name for inside in folder.iterdir()} == {"a", "b", "SHA256SUMS"}


def test_files_are_placed_together_or_not_at_all(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")
    (tmp_path / "c").write_text("other")
    with pytest.raises(OSError, match="disk full"):
        place_files(tmp_path, fail)
    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == {
        "a": "old",
        "c": "other",
    }
    place_files(tmp_path, write_two)
    found = {file.name: file.read_text() for file in tmp_path.iterdir()}
    assert found == {"a": "alpha", "b": "beta", "c": "other"}


def test_a_failed_folder_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="disk full"):
        place_folder(tmp_path / "new", fail)
    assert list(tmp_path.iterdir()) == []


def test_only_what_was_being_written_is_swept(tmp_path: Path) -> None:
    """Not what others hide, nor what is on its way to another place."""
    kept = {".gitignore", ".step-1", ".me.step-1", ".0123abcd", "step-1", ".0123abcd.notes.txt"}
    for name in kept:
        (tmp_path / name).touch()
    hidden(tmp_path / "step-1").touch()
    half = hidden(tmp_path / "step-2")
    half.mkdir()
    write_two(half)
    sweep(tmp_path / "step-*")
    assert {file.name for file in tmp_path.iterdir()} == kept
    sweep(tmp_path / "nowhere" / "step-*")


def test_a_sealed_folder_is_whole_until_it_is_not(tmp_path: Path) -> None:
    folder = tmp_path / "sealed"
    place_folder(folder, write_two)
    assert damage(folder) is None
    (folder / "b").write_bytes(b"bet4")
    assert damage(folder) == "b is not what was written (its checksum differs)"
    (folder / "b").unlink()
    assert damage(folder) == "b is missing"
    (folder / "SHA256SUMS").write_text("")
    assert damage(folder) == "SHA256SUMS is empty"
    (folder / "SHA256SUMS").unlink()
    assert damage(folder) == "SHA256SUMS is missing or unreadable"


def test_a_folder_can_be_replaced(tmp_path: Path) -> None:
    for _ in range(2):
        place_folder(tmp_path / "sealed", write_two)
    assert damage(tmp_path / "sealed") is None


def test_files_are_as_readable_as_any_other(tmp_path: Path) -> None:
    """Whatever wrote them: safetensors makes files that only their owner may read."""
    (tmp_path / "usual").write_text("")
    usual = (tmp_path / "usual").stat().st_mode

    def private(path: Path) -> None:
        path.write_text("private")
        path.chmod(0o600)

    place_file(tmp_path / "file", private)
    place_files(tmp_path, lambda folder: private(folder / "one of some"))
    place_folder(tmp_path / "folder", lambda folder: private(folder / "inside"))
    for name in ("file", "one of some", "folder/inside", "folder/SHA256SUMS"):
        assert (tmp_path / name).stat().st_mode == usual, name


def test_what_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    """Of every kind of write, also by a library that has an error of its own."""
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    tensors = {"x": torch.zeros(2)}
    writes = {
        "a": lambda: write_file(blocked / "a", "text"),
        "b": lambda: append(blocked / "b", "text"),
        "c": lambda: place_folder(blocked / "c", write_two),
        "file": lambda: place_files(blocked, write_two),
        "d": lambda: place_file(tmp_path / "d", lambda path: save_file(tensors, path / "not here")),
    }
    for name, write in writes.items():
        with pytest.raises(NotWritten) as caught:
            write()
        assert f"{name} cannot be written (" in str(caught.value)
        assert isinstance(caught.value, UserError)
    assert [file.name for file in tmp_path.iterdir()] == ["file"]


def test_what_a_hidden_folder_cannot_hold_is_said_of_its_place(tmp_path: Path) -> None:
    def write(folder: Path) -> None:
        (folder / "model").write_text("a file where a folder should be")
        write_file(folder / "model/config.json", "text")

    with pytest.raises(NotWritten) as caught:
        place_folder(tmp_path / "whole", write)
    assert str(caught.value).startswith(f"{tmp_path / 'whole'} cannot be written (Not a directory)")


def test_a_full_disk_is_said_without_what_a_library_says_around_it() -> None:
    full = os.strerror(errno.ENOSPC)
    for said in (f"lance error: LanceError(IO): {full} (os error 28), /src/writer.rs:191:9", full):
        assert reason_of(RuntimeError(said)) == full
    assert reason_of(OSError(errno.ENOSPC, f"Detail: [errno 28] {full}")) == full
    assert reason_of(ValueError("other\nlines")) == "other"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a\0b", r"expected a path or an address, got 'a\\x00b'"),
        ("long" * 75, "long cannot be a path here, as one of its names is too long"),
    ],
)
@pytest.mark.parametrize(
    "use",
    [
        lambda model, path: stellar.embed(model, "photos", path),
        lambda model, path: stellar.embed(model, path, "out.parquet"),
        lambda model, path: stellar.reconstruct(model, path),
        lambda model, path: stellar.reconstruct(model, [path]),
        lambda model, path: model.encode(path),
        lambda _, path: stellar.load(path),
        lambda _, path: stellar.load_backbone(path),
        lambda _, path: stellar.pretrain(stellar.PRESETS["demo"](), path),
        lambda _, path: stellar.open_index(path),
        lambda _, path: stellar.build_index(path, "out.index"),
        lambda _, path: stellar.build_index("photos.parquet", "out.index", path),
        lambda _, path: stellar.build_index("photos.parquet", path),
        lambda model, path: export(model, path),
        lambda model, path: model.save_pretrained(path),
        lambda model, path: stellar.save_published(model, path),
    ],
)
def test_a_name_that_no_system_takes_is_no_path(
    small: ModelConfig,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    use: Callable,
    name: str,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    Image.new("RGB", (16, 16)).save("photos/a.png")
    with pytest.raises(UserError, match=message):
        use(Stellar(small), name)
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]


def test_a_list_has_a_line_for_each_name(tmp_path: Path) -> None:
    names = ["a\nb", "c\td", "e\x00\x1b[31m", "é ж 漢", os.fsdecode(b"\xff.jpg")]
    append(tmp_path / "list", "".join(f"{one_line(name)}\n" for name in names))
    lines = (tmp_path / "list").read_text("utf-8").splitlines()
    assert lines[:4] == ["a\\nb", "c\\td", "e\\x00\\x1b[31m", "é ж 漢"]
    assert len(lines) == len(names)


def test_a_link_is_replaced_and_what_it_led_to_stays(tmp_path: Path) -> None:
    (tmp_path / "original").write_text("old")
    (tmp_path / "link").symlink_to("original")
    write_file(tmp_path / "link", "new")
    assert (tmp_path / "original").read_text() == "old"
    assert (tmp_path / "link").read_text() == "new"
    assert not (tmp_path / "link").is_symlink()


def test_the_folder_that_lets_nobody_in_is_named(
    open_folder: Path, without_rights: Callable[[], AbstractContextManager[None]]
) -> None:
    closed, file = open_folder / "closed", open_folder / "file"
    for path, made in ((closed, closed.mkdir), (file, file.touch)):
        made()
        path.chmod(0)
    with without_rights():
        assert closed_at(closed / "a/b") == closed_at(closed) == closed
        assert closed_at(file) == file
        assert closed_at(open_folder / "missing/b") == open_folder / "missing/b"
        with pytest.raises(PermissionError) as caught:
            (closed / "a/b").read_bytes()
        said = refusal(closed / "a/b", caught.value)
    assert said == f"{closed} cannot be read (Permission denied); make it readable, or name another"


def test_what_is_in_a_file_is_no_refusal_of_the_system() -> None:
    for error in (KeyError(b"x"), ValueError("cut short"), OSError("Couldn't deserialize thrift")):
        assert refusal("file", error) is None
    said = "lance error: LanceError(IO): Permission denied (os error 13), /src/local.rs:274:24"
    assert refusal("x.index", RuntimeError(said)) == (
        "x.index cannot be read (Permission denied); make it readable, or name another"
    )
    failed = OSError(errno.EIO, "Failed to read from 'x'. Detail: [errno 5]")
    assert "x cannot be read (Input/output error); " in str(refusal("x", failed))
