"""The page for everybody: written, started by its own app file, open, and private to visitors."""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml
from PIL import Image
from visiting import Visitor

import stellar
from stellar.cli import main
from stellar.data import ImageFolder, open_embedded, open_pictures
from stellar.errors import UserError

pytest.importorskip("starlette")
from stellar.exploring.showcase import ABOUT, MOST_PICTURES, open_showcase, write_showcase


def png(folder: Path, name: str, colour: str) -> bytes:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (60, 40), colour).save(folder / name)
    return (folder / name).read_bytes()


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("showcase")
    for name in ("a.png", "b/c.png"):
        png(folder / "photos", name, "teal")
    out = folder / "space"
    call = ["explore", "stellar-scenes", str(folder / "photos"), "--export", str(out)]
    assert main(call) == 0
    return out


@pytest.fixture(scope="module")
def shown(space: Path) -> Iterator[str]:
    with started(space) as address:
        yield address


@contextmanager
def started(space: Path) -> Iterator[str]:
    """Its address, once it answers."""
    pytest.importorskip("uvicorn")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, str(space / "app.py")], env={**os.environ, "PORT": str(port)},
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    with process:
        for _ in range(300):
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                time.sleep(0.1)
        listening = psutil.Process(process.pid).net_connections("tcp")
        assert {each.laddr.ip for each in listening if each.status == "LISTEN"} == {"127.0.0.1"}
        yield f"http://127.0.0.1:{port}/"
        process.terminate()


def test_it_has_the_files_of_a_space(space: Path) -> None:
    names = {path.relative_to(space).as_posix() for path in space.rglob("*") if path.is_file()}
    assert names >= {
        "app.py", "Dockerfile", "requirements.txt", "README.md", "showcase.json",
        "model/model.safetensors", "model/config.json", "pictures/a.png", "pictures/b/c.png",
    }  # fmt: skip
    header = yaml.safe_load((space / "README.md").read_text().split("---")[1])
    assert header["sdk"] == "docker"
    assert header["app_port"] == 7860
    assert "explore" in (space / "requirements.txt").read_text()


def test_everybody_sees_it_and_what_is_brought_its_owner_alone(shown: str, tmp_path: Path) -> None:
    visitor = Visitor(shown)
    page = visitor.ask("/")
    assert page.status == 200
    assert (
        "frame-ancestors 'self' https://huggingface.co" in page.headers["content-security-policy"]
    )
    start = visitor.ask("/api/start").json
    assert start["count"] == 2
    assert start["models"][0]["name"] == "stellar-scenes"
    look = visitor.ask("/api/look", {"picture": "1"}).json
    assert look["name"] == "b/c.png"
    brought = visitor.ask("/api/bring?name=mine.png", png(tmp_path, "mine.png", "red")).json
    assert re.fullmatch(r"brought-[0-9a-f]{32}", brought["key"])
    assert visitor.ask(f"/api/pictures/{brought['key']}/view").status == 200
    assert visitor.ask("/api/start").json["brought"] == []


def test_its_python_is_of_the_folder_and_tells_nobody_where_it_lies(
    shown: str, space: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = Visitor(shown).ask("/api/python", {"picture": "1"}).json["code"]
    assert str(space.parent) not in code
    monkeypatch.chdir(space)
    names: dict[str, Any] = {}
    exec(code, names)
    assert names["picture"].shape == (3, 48, 48)


def test_other_pages_may_not_ask(shown: str) -> None:
    for origin in ("http://evil.example", "null", "http://[", None):
        assert Visitor(shown).ask("/api/concepts", {}, Origin=origin).status == 403
        answer = Visitor(shown).ask("/api/look", {"picture": "1"}, Origin=origin)
        assert answer.status == 403


def test_concepts_go_along_with_their_names(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("lancedb")
    photos, index = tmp_path / "photos", tmp_path / "photos.index"
    for number, colour in enumerate(("teal", "red", "gold", "navy")):
        png(photos, f"{number}.png", colour)
    assert main(["embed", "stellar-scenes", str(photos), "--out", f"{photos}.parquet"]) == 0
    assert main(["index", f"{photos}.parquet", "--out", str(index)]) == 0
    call = ["explore", "stellar-scenes", str(photos), "--index", str(index), "--export"]
    assert main([*call, str(tmp_path / "none")]) == 1
    assert "the concepts that it keeps, and" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()
    naming = ["concepts", str(index), "--count", "3", "--name", "1=sea"]
    assert main([*naming, "--out", str(tmp_path / "c.html")]) == 0
    assert main([*call, str(tmp_path / "space")]) == 0
    shutil.rmtree(index)
    with started(tmp_path / "space") as address:
        visitor = Visitor(address)
        assert visitor.ask("/api/start").json["canName"] is False
        found = visitor.ask("/api/concepts", {}).json["concepts"]
        assert [each["name"] for each in found] == ["", "sea", ""]
        refused = visitor.ask("/api/concepts/name", {"concept": 0, "name": "x"})
        assert "names of concepts last in an index" in refused.json["error"]


def test_scenes_go_by_their_name(tmp_path: Path) -> None:
    model = stellar.load("stellar-scenes")
    scenes = open_embedded("scenes", "heldout", model.config)
    assert write_showcase(tmp_path / "space", model, scenes, "scenes").count == MOST_PICTURES
    assert not (tmp_path / "space/pictures").exists()
    open_showcase(tmp_path / "space")


@pytest.mark.parametrize(
    "title", ["Été: mer", 'a "b" \\ # c', "\N{EYES}", "- no", "a\nb", "\udcff"]
)
def test_any_title_is_a_header_and_a_heading(tmp_path: Path, title: str) -> None:
    model = stellar.load("stellar-scenes")
    scenes = open_embedded("scenes", "heldout", model.config)
    write_showcase(tmp_path / "space", model, scenes, title)
    readme = (tmp_path / "space/README.md").read_text("utf-8")
    shown = {"a\nb": r"a\nb", "\udcff": r"\udcff"}.get(title, title)
    assert yaml.safe_load(readme.split("---\n")[1])["title"] == shown
    assert f"\n# {shown}\n" in readme
    open_showcase(tmp_path / "space")


def test_what_the_page_would_not_show_stays_here(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos, out = tmp_path / "photos", tmp_path / "space"
    png(tmp_path, "private.png", "red")
    png(photos, "b/a.png", "teal")
    (photos / "out.png").symlink_to(tmp_path / "private.png")
    (photos / "within.png").symlink_to(photos / "b/a.png")
    (photos / "broken.png").write_bytes(b"a secret by its name a picture")
    call = ["explore", "stellar-scenes", str(photos), "--export"]
    assert main([*call, str(out)]) == 0
    said = capsys.readouterr().out
    assert "2 pictures -> " in said
    assert "2 left out, which cannot be read, or are links out of the folder" in said
    copied = [path for path in out.glob("pictures/**/*") if path.is_file()]
    assert sorted(path.name for path in copied) == ["a.png", "within.png"]
    assert not any(path.is_symlink() for path in copied)
    for name in ("b/a.png", "within.png"):
        (photos / name).unlink()
    assert main([*call, str(tmp_path / "none")]) == 1
    assert "can be shown" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


def test_mistakes_are_sentences(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = stellar.load("stellar-scenes")
    png(tmp_path / "photos", "a.png", "teal")
    with pytest.raises(UserError, match="photos exists; choose another --export"):
        write_showcase(tmp_path / "photos", model, ImageFolder(tmp_path / "photos"), "x")
    with pytest.raises(UserError, match="does not exist; create it"):
        write_showcase(tmp_path / "a/b", model, ImageFolder(tmp_path / "photos"), "x")
    with pytest.raises(UserError, match="is not what stellar explore --export wrote"):
        open_showcase(tmp_path)
    files = open_pictures([tmp_path / "photos/a.png"], model.config)
    with pytest.raises(UserError, match="put single files, or what is in shards, into a folder"):
        write_showcase(tmp_path / "new", model, files, "x")
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / ABOUT).write_text("[" * 100_000)
    with pytest.raises(UserError, match="is not what stellar explore --export wrote"):
        open_showcase(tmp_path / "deep")
    arguments = ["explore", "--export", str(tmp_path / "new"), "--compare", "stellar-scenes"]
    assert main(arguments) == 1
    assert "takes one model; leave --compare out" in capsys.readouterr().err
    arguments = ["explore", "--export", str(tmp_path / "new"), "--words", "x.safetensors"]
    assert main(arguments) == 1
    assert "does not search by words; leave --words out" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["deep", "photos"]
