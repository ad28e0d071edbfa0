from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

Save = Callable[..., Path]


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
