"""The wheel works alone: in an environment that has nothing but it and what it needs, from another
folder, on pictures of the user's own. Run with -m slow, which `make wheel` does.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from email import message_from_string
from email.message import Message
from pathlib import Path

import pytest
from PIL import Image, ImageDraw

import stellar
from stellar.cli import COMMANDS
from stellar.model.files.config_json import CONFIG
from stellar.model.files.fingerprint import fingerprint
from stellar.model.files.known_models import REPORT
from stellar.model.files.locating import WEIGHTS

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
UNNAMED = {"kornia", "pandas", "scipy", "timm", "torchvision", "transformers"}
"""Libraries that no extra for users names, and that the wheel must not bring along either."""


@dataclass(frozen=True)
class Built:
    """Both distributions, and the wheel installed without extras."""

    wheel: Path
    source: Path
    python: Path
    folder: Path
    """Outside the checkout, with a folder of pictures in it."""


def run(command: list, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """The command in that folder, with no way to the checkout."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(
        [str(part) for part in command],
        cwd=folder,
        env=kept | variables,
        capture_output=True,
        text=True,
    )


def must(command: list, folder: Path) -> str:
    """What the command prints; it has to succeed."""
    done = run(command, folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Built]:
    folder = tmp_path_factory.mktemp("wheel")
    dist = Path(os.environ.get("STELLAR_DIST", folder / "dist"))  # `make wheel` has built them
    if not dist.exists():
        must([sys.executable, "-m", "build", "--outdir", dist, ROOT], folder)
    (wheel,) = dist.glob("*.whl")
    (source,) = dist.glob("*.tar.gz")
    must([sys.executable, "-m", "venv", folder / "venv"], folder)
    python = folder / "venv/bin/python"
    install = [python, "-m", "pip", "install", "--no-compile", "-c", ROOT / "constraints.txt"]
    must([*install, "torch"], folder)  # alone, as in the Makefile: a CPU build where there is one
    must([*install, wheel], folder)
    (folder / "photos").mkdir()
    for name, colour in (("a.png", "teal"), ("b.jpg", "gold"), ("c.webp", "navy")):
        picture = Image.new("RGB", (90, 64), colour)
        ImageDraw.Draw(picture).ellipse((10, 12, 50, 52), fill="white")
        picture.save(folder / "photos" / name)
    yield Built(wheel, source, python, folder)
    shutil.rmtree(folder / "venv")  # most of a gigabyte, which pytest would keep for three runs


@pytest.fixture(scope="module")
def metadata(built: Built) -> Message:
    with zipfile.ZipFile(built.wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return message_from_string(archive.read(name).decode())


def call(built: Built, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`stellar ARGUMENTS` as installed from the wheel, without the hub and the user's cache."""
    return run(
        [built.python.with_name("stellar"), *arguments],
        built.folder,
        HF_HUB_OFFLINE="1",
        XDG_CACHE_HOME=str(built.folder / "cache"),
    )


def test_files_of_the_wheel(built: Built) -> None:
    with zipfile.ZipFile(built.wheel) as archive:
        names = set(archive.namelist())
    package = {name for name in names if ".dist-info/" not in name}
    in_checkout = {
        path.relative_to(ROOT / "src").as_posix()
        for path in (ROOT / "src/stellar").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert package == in_checkout
    scenes = {f"stellar/shipped/scenes/{name}" for name in (CONFIG, WEIGHTS, REPORT)}
    assert scenes | {"stellar/evaluation/report/page/page.css"} <= package
    about = f"stellar_vision-{stellar.__version__}.dist-info"
    assert {Path(name).parts[0] for name in names} == {"stellar", about}
    assert f"{about}/licenses/LICENSE" in names


def test_the_source_distribution_holds_what_the_readme_names(built: Built) -> None:
    with tarfile.open(built.source) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    linked = re.findall(r"\]\(((?!https:|#)[^)]+)\)", (ROOT / "README.md").read_text())
    assert len(linked) >= 8
    assert {*linked, "README.md", "LICENSE", "Makefile", "tests/test_wheel.py"} <= names
    assert not [name for name in names if name.startswith((".venv", "dist", "runs", "demo"))]


def test_a_package_index_shows_no_link_that_leads_nowhere(metadata: Message) -> None:
    shown = metadata.get_payload()
    assert isinstance(shown, str)
    assert metadata["Description-Content-Type"] == "text/markdown"
    links = re.findall(r"\]\(([^)]+)\)", shown)
    links += re.findall(r"^\[[^\]]+\]:\s*(\S+)", shown, flags=re.M)
    links += re.findall(r"<(?:a|img)\b[^>]*?(?:href|src)=[\"']?([^\"'> ]+)", shown)
    assert "https://arxiv.org/abs/2602.01905" in links
    assert not [link for link in links if not link.startswith("https://")]
    assert shown.lstrip().startswith("# stellar\n")
    assert "pip install stellar-vision" in shown
    assert "docs/scale.md" in shown
    assert all(
        url.split(", ")[1].startswith("https://") for url in metadata.get_all("Project-URL", [])
    )


def test_nothing_optional_is_installed(built: Built, metadata: Message) -> None:
    optional = {
        re.split(r"[^\w.-]", line)[0]
        for line in metadata.get_all("Requires-Dist", [])
        if "extra ==" in line and "'dev'" not in line
    }
    assert {"scikit-image", "scikit-learn", "simplejpeg", "torchmetrics", "ray"} <= optional
    listed = json.loads(must([built.python, "-m", "pip", "list", "--format", "json"], built.folder))
    installed = {package["name"].lower().replace("_", "-") for package in listed}
    assert "stellar-vision" in installed
    assert not installed & (optional | UNNAMED)


def test_help_and_info(built: Built) -> None:
    helped = call(built, "--help")
    assert helped.returncode == 0
    assert set(COMMANDS) <= set(helped.stdout.split())
    machine = call(built, "info")
    assert machine.returncode == 0, machine.stderr
    assert f"stellar {stellar.__version__}" in " ".join(machine.stdout.split())
    assert "demo (skimage, sklearn), coco (pycocotools), fast (simplejpeg)" in machine.stdout


def test_the_model_that_comes_along_is_the_one_of_the_checkout(built: Built) -> None:
    described = call(built, "info", "stellar-scenes")
    assert described.returncode == 0, described.stderr
    rows = dict(re.findall(r"^(\w+) +(.+)$", described.stdout, flags=re.M))
    assert Path(rows["weights"]).is_relative_to(built.folder / "venv")
    assert rows["sha256"] == fingerprint(stellar.load("stellar-scenes", purpose="encode"))


def test_pictures_to_tokens_and_to_a_sheet(built: Built) -> None:
    embedded = call(built, "embed", "stellar-scenes", "photos", "--out", "x.parquet")
    assert embedded.returncode == 0, embedded.stderr
    assert "3 images -> x.parquet\n" in embedded.stdout
    rows = stellar.read_embeddings(built.folder / "x.parquet")
    assert [Path(path).name for path in rows.paths] == ["a.png", "b.jpg", "c.webp"]
    drawn = call(built, "reconstruct", "stellar-scenes", "photos", "--out", "sheet.png")
    assert drawn.returncode == 0, drawn.stderr
    assert re.findall(r"^ *\d+\.\d dB  (.+)$", drawn.stdout, flags=re.M) == [
        "a.png",
        "b.jpg",
        "c.webp",
    ]
    with Image.open(built.folder / "sheet.png") as sheet:
        assert sheet.format == "PNG"
        assert min(sheet.size) >= 3 * 48


def test_what_needs_an_extra_says_so(built: Built) -> None:
    command = "reconstruct stellar-scenes scenes-on-photographs"
    before = sorted(built.folder.iterdir())
    done = call(built, *command.split())
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr == (
        "stellar: error: drawn scenes on photographs need scikit-image; "
        'install it with: pip install "stellar-vision[demo]"\n'
    )
    assert sorted(built.folder.iterdir()) == before
