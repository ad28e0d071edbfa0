"""Shapes are enforced: every annotation in stellar is checked while the tests run."""

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import huggingface_hub.constants
import pytest
import torch
from jaxtyping import config as jaxtyping_config

from browsing import NAMES, chromium_path, launched
from checking import check_annotations

# Imported before the hook: configurations check their own values, and that is what is tested.
from stellar.config import DecoderConfig, ModelConfig, ObjectiveConfig
from stellar.config.checks import warn

check_annotations()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long tests begin first."""
    items.sort(key=lambda item: item.get_closest_marker("long") is None)


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def _nothing_said_yet() -> None:
    warn.cache_clear()


@pytest.fixture
def gpu() -> torch.device:
    """The GPU; in a rehearsal of what runs there (STELLAR_REHEARSAL), the CPU in its place."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    if "STELLAR_REHEARSAL" in os.environ:
        return torch.device("cpu")
    pytest.skip("no GPU")


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that other users may look into, as they may not into those of pytest."""
    with TemporaryDirectory() as named:
        folder = Path(named)
        folder.chmod(0o755)
        yield folder
        for path in folder.rglob("*"):
            path.chmod(0o755)


@pytest.fixture
def without_rights() -> Callable[[], AbstractContextManager[None]]:
    """Within it, this is a user who is not root, for whom the mode of a file counts. What is
    imported there for the first time may be out of reach, too.
    """

    @contextmanager
    def as_somebody_else() -> Iterator[None]:
        effective = os.geteuid()
        os.seteuid(effective or 65534)
        try:
            yield
        finally:
            os.seteuid(effective)

    return as_somebody_else


@pytest.fixture(scope="session")
def small() -> ModelConfig:
    """A model of a few thousand parameters: 16 px, 4 x 4 patches, 3 tokens."""
    return ModelConfig(
        image_size=16,
        patch_size=4,
        embed_dim=24,
        depth=2,
        num_heads=2,
        mlp_ratio=2.0,
        num_sparse_tokens=3,
        decoder=DecoderConfig(target="pixels", embed_dim=16, depth=1, num_heads=2, mlp_ratio=2.0),
    )


@pytest.fixture(scope="session")
def small_objective() -> ObjectiveConfig:
    """Heads with few prototypes."""
    return ObjectiveConfig(num_prototypes=12, prototype_dim=8, head_hidden_dim=16)


@pytest.fixture
def vit(tmp_path: Path) -> Path:
    """The folder of somebody else's vision transformer, as transformers saves it: 32 wide, 2
    layers, 20 px in patches of 4.
    """
    from transformers import ViTConfig, ViTModel

    config = ViTConfig(
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        image_size=20,
        patch_size=4,
    )
    ViTModel(config).save_pretrained(tmp_path / "vit")
    return tmp_path / "vit"


@pytest.fixture
def unchecked() -> Iterator[None]:
    """Annotations are not checked, as for users: what is of a wrong type reaches our own code, and
    while torch.export traces, sizes are symbols, no `int` to beartype.
    """
    jaxtyping_config.update("jaxtyping_disable", True)
    yield
    jaxtyping_config.update("jaxtyping_disable", False)


@pytest.fixture(scope="session")
def place_in_hub_cache() -> Callable[..., Path]:
    """Puts files into a cache of the Hugging Face hub as a download leaves them: (cache, repo,
    name -> file, branch) -> snapshot.
    """

    def place(cache: Path, repo: str, files: dict[str, Path], branch: str = "main") -> Path:
        folder = cache / f"models--{repo.replace('/', '--')}"
        commit = hashlib.sha1(f"{repo} {branch}".encode()).hexdigest()
        snapshot = folder / "snapshots" / commit
        for part in (folder / "refs", folder / "blobs", snapshot):
            part.mkdir(parents=True, exist_ok=True)
        (folder / "refs" / branch).write_text(commit)
        for name, file in files.items():
            blob = folder / "blobs" / hashlib.sha256(file.read_bytes()).hexdigest()
            shutil.move(file, blob)
            (snapshot / name).symlink_to(Path("../../blobs") / blob.name)
        return snapshot

    return place


@pytest.fixture
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the hub for this test, and no network: as HF_HUB_OFFLINE=1 has it."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    return tmp_path / "hub"


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """The system's Chromium, Google's Chrome, or what `playwright install chromium` put there."""
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as started:
        if not Path(chromium_path(started)).exists():
            pytest.skip(f"no browser ({', '.join(NAMES)}); playwright install chromium gets one")
        browser = launched(started)
        yield browser
        browser.close()
