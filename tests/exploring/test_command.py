"""`stellar explore` as it is typed."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest
from PIL import Image
from visiting import Visitor

import stellar
from stellar.cli import main


def started(*arguments: str) -> tuple[subprocess.Popen[str], list[str]]:
    """The command, once it has said all; and what it said."""
    pytest.importorskip("uvicorn")
    command = [sys.executable, "-m", "stellar", "explore", *arguments, "--no-browser"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    assert process.stdout is not None
    said = []
    for line in process.stdout:
        said.append(line.strip())
        if line.startswith("http"):
            return process, said
    raise AssertionError(said)


# The browser that is started below ends it by SIGINT.
@pytest.mark.parametrize(
    "stop", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)]
)
def test_with_nothing_else_it_serves_scenes_until_it_is_told_to_stop(stop: signal.Signals) -> None:
    process, said = started("--port", "0")
    with process:
        assert said[0] == "500 pictures of scenes, seen by stellar-scenes"
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/\?token=[\w-]{43}", said[1])
        visitor = Visitor(said[1]).let_in()
        assert visitor.ask("/api/start").json["count"] == 500
        process.send_signal(stop)
        assert process.stdout is not None
        left = process.stdout.read()
        assert process.wait(20) == 0
        assert left.strip() in ("Ctrl-C ends it", "")


def test_a_folder_a_published_model_a_second_one_and_no_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place_in_hub_cache: Callable[..., Path]
) -> None:
    (tmp_path / "photos").mkdir()
    Image.new("RGB", (60, 40), "teal").save(tmp_path / "photos/a.png")
    model = stellar.load("stellar-scenes")
    for name in ("mine", "theirs"):
        model.save_pretrained(tmp_path / name)
    files = {file.name: file for file in (tmp_path / "theirs").iterdir()}
    place_in_hub_cache(tmp_path / "hub", "you/theirs", files, "v1")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    process, said = started(
        "hf://you/theirs", str(tmp_path / "photos"), "--revision", "v1", "--compare",
        str(tmp_path / "mine"), "--concepts", "1", "-q",
    )  # fmt: skip
    with process:
        assert len(said) == 1
        visitor = Visitor(said[0]).let_in()
        start = visitor.ask("/api/start").json
        assert [model["name"] for model in start["models"]] == [
            "hf://you/theirs", str(tmp_path / "mine")
        ]  # fmt: skip
        assert start["count"] == 1
        code = visitor.ask("/api/python", {"picture": "0", "model": 0}).json["code"]
        assert "stellar.load('hf://you/theirs', revision='v1')" in code
        if find_spec("lancedb"):
            assert len(visitor.ask("/api/concepts", {}).json["concepts"]) == 1
        process.terminate()
        assert process.wait(20) == 0


def test_one_picture_is_one(tmp_path: Path) -> None:
    (tmp_path / "bad.jpg").write_bytes(b"no picture")
    process, said = started("stellar-scenes", str(tmp_path), "--port", "0")
    with process:
        start = Visitor(said[1]).let_in().ask("/api/start").json
        process.terminate()
    assert start["count"] == 1
    assert said[0] == f"1 picture of {tmp_path}, seen by stellar-scenes"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("nothing-such", "nothing-such does not exist"),
        ("stellar-scenes nowhere", "nowhere does not exist"),
        ("stellar-scenes scenes --index nowhere", "expected an index, but nowhere does not exist"),
        (
            "stellar-scenes scenes --port 99999",
            "a port is from 0 (any free one) to 65535, got 99999",
        ),
        ("stellar-scenes scenes --port -1", "to 65535, got -1"),
        ("stellar-scenes scenes --concepts 0", "concepts must be a whole number of at least 1"),
    ],
)
def test_a_wrong_call_is_a_sentence(
    capsys: pytest.CaptureFixture[str], call: str, message: str
) -> None:
    pytest.importorskip("lancedb")
    arguments = ["explore", *call.split(), "--no-browser"]
    assert main(arguments) == 1
    told = capsys.readouterr().err
    assert message in told
    assert told.count("\n") == 1


def test_a_port_that_is_taken_is_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("uvicorn")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert main(["explore", "--port", port, "--no-browser"]) == 1
    assert f"port {port} cannot be had (Address already in use)" in capsys.readouterr().err


@pytest.mark.parametrize("missing", ["starlette", pytest.param("uvicorn", marks=pytest.mark.slow)])
def test_a_missing_package_is_a_sentence(missing: str) -> None:
    script = f"""
import sys
sys.modules[{missing!r}] = None
from stellar.cli import main
sys.exit(main(["explore", "--no-browser"]))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.endswith(
        "the page needs Starlette and uvicorn: pip install 'stellar-vision[explore]'\n"
    )


def test_a_page_for_others_is_written_without_starlette(tmp_path: Path) -> None:
    script = f"""
import sys
sys.modules["starlette"] = None
from stellar.cli import main
sys.exit(main(["explore", "stellar-scenes", "scenes", "--export", {str(tmp_path / "space")!r}]))
"""
    subprocess.run([sys.executable, "-c", script], check=True)
    assert (tmp_path / "space/app.py").exists()


def test_a_browser_is_started_without_the_token_in_its_call(tmp_path: Path) -> None:
    """Every user of the machine sees the call; the file that it names is its owner's alone."""
    pytest.importorskip("uvicorn")
    fake = tmp_path / "browser"
    fake.write_text(f"""#!/bin/sh
echo "$1" > {tmp_path}/call
cp "${{1#file://}}" {tmp_path}/page
stat -c %a "${{1#file://}}" > {tmp_path}/mode
sleep 1
kill -INT $PPID
sleep 3
""")
    fake.chmod(0o755)
    done = subprocess.run(
        [sys.executable, "-m", "stellar", "explore", "--port", "0"],
        capture_output=True, text=True, env={**os.environ, "BROWSER": str(fake)}, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    address = done.stdout.splitlines()[1]
    call = (tmp_path / "call").read_text()
    assert call.startswith("file:///")
    assert "token" not in call
    assert f"url={address}" in (tmp_path / "page").read_text()
    assert (tmp_path / "mode").read_text() == "600\n"
    assert not Path(call.strip().removeprefix("file://")).exists()
