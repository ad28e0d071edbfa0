"""A small model, and a folder of pictures with a broken one."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stellar.config import ModelConfig
from stellar.model import Stellar


@pytest.fixture
def model(small: ModelConfig) -> Stellar:
    return Stellar(small).eval()


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Seven pictures in two folders, one of them broken."""
    folder = tmp_path / "photos"
    (folder / "b").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in range(6):
        pixels = rng.integers(0, 256, (20 + number, 30, 3), dtype=np.uint8)
        place = folder / "b" if number % 2 else folder
        Image.fromarray(pixels).save(place / f"{number}.png")
    (folder / "broken.jpg").write_bytes(b"nothing")
    return folder
