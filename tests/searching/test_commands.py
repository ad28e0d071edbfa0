"""`stellar index` and `stellar search` as a user types them; docs/search.md, line by line."""

import json
import re
import shlex
import subprocess
import sys
from base64 import b64decode
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from by_hand import embedding, metadata, random_tokens
from PIL import Image, ImageDraw

from stellar.cli import main
from stellar.data.scenes import Scenes
from stellar.searching.words import Origin, Words

DOCS = (Path(__file__).parents[2] / "docs/search.md").read_text()


@dataclass(frozen=True)
class Done:
    """What a command left behind."""

    code: int
    out: str
    err: str


@pytest.fixture
def stellar(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Done]:
    """A command in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")

    def call(*arguments: str) -> Done:
        capsys.readouterr()
        try:
            code = main(list(arguments))
        except SystemExit as end:
            code = int(end.code or 0)
        told = capsys.readouterr()
        return Done(code, told.out, told.err)

    return call


def searched(stellar: Callable[..., Done]) -> None:
    """photos.index, of 30 pictures of random tokens."""
    pytest.importorskip("lancedb")
    embedding(Path("photos.parquet"), random_tokens(30))
    assert stellar("index", "photos.parquet", "--out", "photos.index").code == 0


def test_an_index_is_made_and_told_of(stellar: Callable[..., Done]) -> None:
    pytest.importorskip("lancedb")
    embedding(Path("photos.parquet"), random_tokens(30))
    done = stellar("-q", "index", "photos.parquet", "--out", "photos.index")
    assert done.code == 0, done.err
    assert done.out == "30 pictures, 30 of them new -> photos.index (search: exact)\n"
    done = stellar("-q", "index", "photos.parquet", "--out", "photos.index")
    assert done.out == "30 pictures, 0 of them new -> photos.index (search: exact)\n"
    embedding(Path("more.parquet"), random_tokens(40))
    done = stellar("index", "more.parquet", "--out", "photos.index", "--exact-up-to", "20")
    assert "40 pictures, 10 of them new -> photos.index (search: approximate" in done.out


def test_what_an_index_forgets_and_adds_is_told(stellar: Callable[..., Done]) -> None:
    searched(stellar)
    tokens = random_tokens(30)[:25]
    tokens[:2] = random_tokens(2, seed=1)
    embedding(Path("photos.parquet"), tokens)
    done = stellar("-q", "index", "photos.parquet", "--out", "photos.index")
    said = "25 pictures, 0 of them new, 2 replaced, 5 removed -> photos.index (search: exact)\n"
    assert (done.code, done.out) == (0, said)
    embedding(Path("tuesday.parquet"), random_tokens(2), paths=["a.jpg", "it's b.jpg"])
    done = stellar("-q", "index", "tuesday.parquet", "--out", "photos.index")
    assert done.code == 1
    assert "photos.index holds other pictures: none of the 2 of tuesday.parquet is" in done.err
    done = stellar("-q", "index", "tuesday.parquet", "--out", "photos.index", "--add")
    said = "27 pictures, 2 of them new -> photos.index (search: exact)\n"
    assert (done.code, done.out) == (0, said)
    done = stellar("-q", "index", "tuesday.parquet", "--out", "photos.index")
    assert done.code == 1
    assert "photos.index has 25 pictures of other embeddings, as /" in done.err
    assert "which tuesday.parquet has not; keep them with --add, or remove photos.in" in done.err


def test_other_words_are_told_of(stellar: Callable[..., Done]) -> None:
    searched(stellar)
    origin = Origin("none", metadata()["model_sha256"], "crop")
    call = ("index", "photos.parquet", "--out", "photos.index", "--words", "words.safetensors")
    said = "it knew other words before; they were replaced"
    for bias, told in ((0, False), (0, False), (1, True)):
        words = Words(np.eye(24, dtype=np.float32), np.full(24, bias, np.float32), origin)
        words.save(Path("words.safetensors"))
        done = stellar(*call)
        assert done.code == 0, done.err
        assert (said in done.out) == told


def test_an_index_is_exact_up_to_no_less_than_no_picture(stellar: Callable[..., Done]) -> None:
    embedding(Path("photos.parquet"), random_tokens(3))
    done = stellar("index", "photos.parquet", "--out", "photos.index", "--exact-up-to", "-5")
    assert done.code == 1
    assert "exact_up_to must be a whole number of at least 0, got -5" in done.err
    assert not Path("photos.index").exists()


def test_pictures_without_a_thumbnail_are_counted(stellar: Callable[..., Done]) -> None:
    """As arrays of other channels, which the model could read."""
    pytest.importorskip("lancedb")
    embedding(Path("photos.parquet"), random_tokens(30))
    Path("photos").mkdir()
    Image.new("RGB", (8, 8)).save("photos/007.jpg")
    done = stellar("index", "photos.parquet", "--out", "photos.index", "--pictures", "photos")
    assert done.code == 0, done.err
    assert "29 have no thumbnail: in photos they are missing, broken, or of other" in done.out


def test_an_index_made_without_pictures_gets_them(stellar: Callable[..., Done]) -> None:
    searched(stellar)
    Path("photos").mkdir()
    done = stellar("index", "photos.parquet", "--out", "photos.index", "--pictures", "photos")
    assert done.code == 1
    assert (
        "expected the folder or the shards that were embedded, but photos has none of the 30 "
        "pictures, as 000.jpg"
    ) in done.err
    for number in range(30):
        Image.new("RGB", (8, 8)).save(f"photos/{number:03d}.jpg")
    for said in ("30 from before had no size and no thumbnail, and have them now\n", ""):
        done = stellar(
            "-q", "index", "photos.parquet", "--out", "photos.index", "--pictures", "photos"
        )
        first = "30 pictures, 0 of them new -> photos.index (search: exact)\n"
        assert (done.code, done.out) == (0, first + said)
    assert stellar("search", "photos.index", "--like", "003.jpg", "--at", "1,1").code == 0


def test_a_page_has_the_pictures_of_shards(stellar: Callable[..., Done]) -> None:
    pytest.importorskip("lancedb")
    Path("photos").mkdir()
    for number in range(3):
        Image.new("RGB", (300, 200), "teal").save(f"photos/{number}.png")
    assert stellar("shard", "photos", "--out", "shards").code == 0
    paths = [f"shard-000000.tar/{number}.png" for number in range(3)]
    embedding(Path("photos.parquet"), random_tokens(3), paths=paths)
    assert stellar("index", "photos.parquet", "--out", "photos.index").code == 0
    call = ("search", "photos.index", "--like", paths[0], "--out")
    assert stellar(*call, "bare.html").code == 0
    done = stellar(*call, "hits.html", "--pictures", "shards")
    assert done.code == 0, done.err
    found = [Path(name).read_text("utf-8").count("data:image/jpeg") for name in
             ("bare.html", "hits.html")]  # fmt: skip
    # Each shown with the map of each of its three matches, and the one that was asked with as it is
    # and with the map of each of its three tokens.
    assert found == [0, 9 + 4]


def test_a_picture_of_the_index_is_large_on_the_page_with_a_model_too(
    stellar: Callable[..., Done],
) -> None:
    """Which is for files that are not in it."""
    pytest.importorskip("lancedb")
    Path("photos").mkdir()
    for number in range(3):
        Image.new("RGB", (300, 200), (80 * number, 128, 128)).save(f"photos/{number}.png")
    stellar("embed", "stellar-scenes", "photos", "--out", "photos.parquet")
    stellar("index", "photos.parquet", "--out", "photos.index", "--pictures", "photos")
    call = ("search", "photos.index", "--like", "1.png", "--model", "stellar-scenes")
    done = stellar(*call, "--out", "hits.html", "--pictures", "photos")
    assert done.code == 0, done.err
    page = Path("hits.html").read_text("utf-8")
    shown = re.findall(r"data:image/jpeg;base64,([\w+/=]+)", page)
    assert {Image.open(BytesIO(b64decode(data))).size for data in shown} == {(300, 200)}


def test_pictures_that_a_page_lacks_are_said(stellar: Callable[..., Done]) -> None:
    searched(stellar)
    Path("some").mkdir()
    Image.new("RGB", (30, 20)).save("some/003.jpg")
    call = ("search", "photos.index", "--like", "003.jpg", "--count", "3", "--out", "hits.html")
    done = stellar(*call, "--pictures", "some")
    assert done.code == 0
    said = r"warning: 2 of the 3 pictures that were found are not in some \(\d{3}\.jpg, \.\.\.\); "
    assert re.match(said, done.err), done.err
    assert stellar(*call).err == ""


def test_a_table_of_hits(stellar: Callable[..., Done]) -> None:
    searched(stellar)
    done = stellar("search", "photos.index", "--like", "003.jpg", "--token", "1", "--count", "2")
    assert done.code == 0, done.err
    head, first, second = done.out.splitlines()
    assert head.split() == ["score", "tokens", "where", "path"]
    where = r"(in many places|[a-z-]+ \(0\.\d\d, 0\.\d\d\))"
    assert re.fullmatch(rf" 1\.000  1 +{where} +003\.jpg", first)
    assert second.endswith(".jpg")
    done = stellar("search", "photos.index", "--like", "003.jpg", "--token", "2", "--token", "0")
    assert done.out.splitlines()[1].split()[:2] == ["1.000", "2,0"]
    done = stellar("search", "photos.index", "--like", "003.jpg", "--count", "1")
    assert done.out == " score  path\n 1.000  003.jpg\n"


def test_json_for_machines(stellar: Callable[..., Done]) -> None:
    searched(stellar)
    done = stellar("search", "photos.index", "--like", "003.jpg", "--json", "--out", "x.html")
    hits = json.loads(done.out)
    assert len(hits) == 10
    assert (hits[0]["path"], round(hits[0]["score"], 3)) == ("003.jpg", 1)
    assert [match["token"] for match in hits[0]["matches"]] == [0, 1, 2]
    assert hits[0]["matches"][0].keys() == {"token", "cosine", "centre", "spread", "box", "share"}
    assert Path("x.html").read_text("utf-8").startswith("<!doctype html>")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("", "error: search needs a picture to go by, --like PATH, a concept, or words\n"),
        ("--without 003.jpg:3", "--without says what is not wanted; say what is, with --like"),
        ("boat --like 003.jpg", "got --like 003.jpg and the words 'boat'; leave one of them out"),
        ("--like 03.jpg", "03.jpg is not in photos.index; did you mean"),
        ("--like 003.jpg --token 3", "has the tokens 0 to 2, got token 3"),
        ("--like 003.jpg --count 0", "count must be a whole number of at least 1, got 0"),
        ("--like 003.jpg --where uper-left", "did you mean 'upper-left'?"),
        ("--like 003.jpg --where 0,0,2,1", "got 0,0,2,1"),
        ("--like 003.jpg --at here", "--at is a pixel x,y, as 120,80, got here"),
        ("--like 003.jpg --at 1,1", "call stellar index again, with --pictures"),
        ("--like 003.jpg --without 004.jpg", "name one of it, as 004.jpg:3"),
        ("--like 003.jpg --without 004.jpg:" + 5000 * "3", "as photo.jpg:3, got 004.jpg:3"),
        ("--like 003.jpg --without 04.jpg:1", "04.jpg is not in photos.index"),
        ("--like 003.jpg --out hits.pdf", "end its name in .html, got --out hits.pdf"),
        ("--like 003.jpg --out no/hits.html", "no does not exist; create it"),
        ("--like 003.jpg --out hits.html --pictures no", "no is not a folder"),
        ("--like new.jpg --model stellar-scenes", "another model (aaaaaaaaaaaa) than this one"),
        ("--like new.jpg --model nowhere", "nowhere does not exist"),
    ],
)
def test_mistakes_get_a_sentence(
    stellar: Callable[..., Done], arguments: str, message: str
) -> None:
    searched(stellar)
    done = stellar("search", "photos.index", *arguments.split())
    assert done.code == 1
    assert message in done.err
    assert done.out == ""
    assert len(done.err.splitlines()) == 1
    assert not Path("hits.html").exists()


def test_what_is_no_index_gets_a_sentence(stellar: Callable[..., Done]) -> None:
    done = stellar("search", "photos.index", "--like", "a.jpg")
    assert (done.code, done.err) == (
        1, "stellar: error: expected an index, but photos.index does not exist\n",
    )  # fmt: skip
    done = stellar("index", "photos.parquet", "--out", "photos.index")
    assert done.code == 1
    assert "stellar embed, but photos.parquet does not exist" in done.err


def test_without_lancedb_a_sentence(tmp_path: Path) -> None:
    embedding(tmp_path / "photos.parquet", random_tokens(3))
    (tmp_path / "photos.index").mkdir()
    script = (
        "import sys\nsys.modules['lancedb'] = None\nfrom stellar.cli import main\n"
        "sys.exit(main(['index', 'photos.parquet', '--out', 'x.index']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert done.stderr == (
        "stellar: error: an index needs LanceDB: pip install 'stellar-vision[search]'\n"
    )
    assert not (tmp_path / "x.index").exists()


def photographs(folder: Path) -> None:
    """40 scenes, some of them wide; photo.jpg and other.jpg among them, and one that is not."""
    folder.mkdir()
    scenes = Scenes("heldout", length=41)
    for number in range(40):
        image = Image.fromarray(scenes.read(number).permute(1, 2, 0).numpy()).resize((240, 240))
        if number % 2:
            image = Image.new("RGB", (360, 240), "white")
            ImageDraw.Draw(image).ellipse((100 + number, 60, 200, 160), fill="red")
        image.save(folder / {0: "photo.jpg", 1: "other.jpg"}.get(number, f"{number:03d}.jpg"))
    Image.fromarray(scenes.read(40).permute(1, 2, 0).numpy()).save("new.jpg")


def test_every_command_of_the_docs_runs(stellar: Callable[..., Done]) -> None:
    pytest.importorskip("lancedb")
    photographs(Path("photos"))
    Path("tuesday").mkdir()
    Image.new("RGB", (240, 240), "teal").save("tuesday/001.png")
    blocks = re.findall(r"```sh\n(.*?)```", DOCS, flags=re.DOTALL)
    lines = [shlex.split(line, comments=True) for block in blocks for line in block.splitlines()]
    commands = [line[1:] for line in lines if line and line[0] == "stellar"]
    assert {command[0] for command in commands} == {"embed", "index", "search", "concepts"}
    assert len(commands) >= 8
    for command in commands:
        done = stellar(*command)
        assert done.code == 0, (command, done.err)
    assert Path("hits.html").is_file()


def test_the_python_of_the_docs_runs(
    stellar: Callable[..., Done], capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("lancedb")
    photographs(Path("photos"))
    assert stellar("embed", "stellar-scenes", "photos", "--out", "photos.parquet").code == 0
    capsys.readouterr()
    left: dict[str, Any] = {}
    for block in re.findall(r"```python\n(.*?)```", DOCS, flags=re.DOTALL):
        exec(block, left)
    assert len(re.findall(r"^0\.\d+ \w+\.jpg \[\(", capsys.readouterr().out, flags=re.M)) == 3
    model, paths = left["model"], [f"photos/{path}" for path in left["rows"].paths]
    exact = model.reconstruct(model.encode(paths))
    assert (left["drawn"] - exact).abs().mean() < 0.01


def test_other_lines_of_the_docs_are_there() -> None:
    root = Path(__file__).parents[2]
    for script in re.findall(r"python (benchmarks/\w+\.py)", DOCS):
        assert (root / script).is_file()
    for module in re.findall(r"`(src/[^`]+)`", DOCS):
        assert (root / module).exists()


def test_a_file_is_shown_as_itself_whatever_the_index_has_of_its_name(
    stellar: Callable[..., Done], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("lancedb")
    photographs(Path("photos"))
    stellar("embed", "stellar-scenes", "photos", "--out", "photos.parquet")
    stellar("index", "photos.parquet", "--out", "photos.index", "--pictures", "photos")
    Path("here").mkdir()
    Path("new.jpg").rename("here/photo.jpg")
    monkeypatch.chdir("here")
    shown = {}
    for asked in ((), ("--model", "stellar-scenes")):
        call = ("search", "../photos.index", "--like", "photo.jpg", "--pictures", "../photos")
        done = stellar(*call, *asked, "--out", "hits.html")
        assert done.code == 0, done.err
        page = Path("hits.html").read_text("utf-8")
        shown[asked] = re.findall(r'src="data:image/jpeg;base64,([^"]+)"', page)[0]
    first, second = (Image.open(BytesIO(b64decode(data))).size for data in shown.values())
    assert first == (240, 240)
    assert second == (48, 48)


def test_a_picture_finds_the_same_things_in_other_pictures(stellar: Callable[..., Done]) -> None:
    """A red disc, by a pixel in it, among scenes without one."""
    pytest.importorskip("lancedb")
    folder = Path("photos")
    photographs(folder)
    stellar("embed", "stellar-scenes", "photos", "--out", "photos.parquet")
    stellar("index", "photos.parquet", "--out", "photos.index", "--pictures", "photos")
    done = stellar("search", "photos.index", "--like", "other.jpg", "--at", "150,110", "--json")
    found = [hit["path"] for hit in json.loads(done.out)]
    assert found[0] == "other.jpg"
    discs = {"other.jpg", *(f"{number:03d}.jpg" for number in range(3, 40, 2))}
    assert np.mean([path in discs for path in found]) >= 0.8
