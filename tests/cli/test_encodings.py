"""Names and signs that a terminal cannot show: they become escapes, and the work is done."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

NAMES = ("кот.png", "é.png", "猫.png", os.fsdecode(b"\xff\xfe.png"), "line\nbreak.png")


def stellar(encoding: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONIOENCODING": encoding, "COLUMNS": "100"}
    call = [sys.executable, "-m", "stellar", *arguments]
    return subprocess.run(
        call, env=environment, capture_output=True, encoding="latin-1", check=False
    )


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """In two folders, each with all of the names."""
    for place in ("ein ж", "zwei"):
        for number, name in enumerate(NAMES):
            (tmp_path / "bilder я" / place).mkdir(parents=True, exist_ok=True)
            grey = (40 * number, 40 * number, 255 * (place == "zwei"))
            Image.new("RGB", (48, 48), grey).save(tmp_path / "bilder я" / place / name)
    return tmp_path / "bilder я"


# What cp1252 lacks, ascii lacks too.
@pytest.mark.parametrize("encoding", ["ascii", pytest.param("cp1252", marks=pytest.mark.slow)])
def test_any_name_on_any_terminal(pictures: Path, tmp_path: Path, encoding: str) -> None:
    sheet, report = tmp_path / "лист.png", tmp_path / "отчёт"
    embedded = tmp_path / "эмб.parquet"
    for call in (
        ("reconstruct", "stellar-scenes", str(pictures), "--out", str(sheet)),
        ("embed", "stellar-scenes", str(pictures), "--out", str(embedded)),
        ("evaluate", "stellar-scenes", "--data", str(pictures), "--out", str(report),
         "--epochs", "1"),
    ):  # fmt: skip
        done = stellar(encoding, *call)
        assert done.returncode == 0, done.stderr[-1000:]
        assert "Traceback" not in done.stderr
    assert sheet.is_file()
    assert embedded.is_file()
    assert (report / "report.html").is_file()


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_an_error_with_any_name(tmp_path: Path, encoding: str) -> None:
    missing = str(tmp_path / "кот")
    done = stellar(
        encoding, "embed", "stellar-scenes", missing, "--out", str(tmp_path / "x.parquet")
    )
    assert done.returncode == 1
    assert "\\u043a\\u043e\\u0442 does not exist" in done.stderr
