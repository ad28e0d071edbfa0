import io
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

Save = Callable[..., Path]
WriteTar = Callable[..., Path]


@pytest.fixture(autouse=True)
def user_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty one: what these tests index is kept there, or beside its shard."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    return folder / "stellar"


@pytest.fixture
def write_tar() -> WriteTar:
    """Writes members by Python's tarfile; an int stands for a picture of that grey."""

    def write(path: Path, members: Mapping[str, bytes | int], format: int = tarfile.PAX_FORMAT):
        path.parent.mkdir(parents=True, exist_ok=True)
        with tarfile.open(path, "w", format=format) as tar:
            for name, content in members.items():
                data = picture(content) if isinstance(content, int) else content
                member = tarfile.TarInfo(name)
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
        return path

    return write


def picture(grey: int) -> bytes:
    """A PNG file of 8 x 6 pixels."""
    file = io.BytesIO()
    Image.new("RGB", (8, 6), (grey,) * 3).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def save() -> Save:
    """Writes numbers (h w) as a mask, with a palette if asked; an int as a picture of that grey."""

    def write(path: Path, content: np.ndarray | list | int, palette: bool = False) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, int):
            Image.new("RGB", (3, 2), (content,) * 3).save(path)
            return path
        image = Image.fromarray(np.array(content, np.uint8))
        if palette:
            image.putpalette([(37 * i + 11) % 256 for i in range(768)])
        image.save(path)
        return path

    return write
