from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

COLOURS = {"blue": (20, 40, 220), "green": (30, 200, 40), "red": (220, 30, 30)}


@pytest.fixture
def coloured(tmp_path: Path) -> Callable[..., Path]:
    """A folder of pictures of three classes, which even a random network tells apart; of `size`
    (width, height), in train/ and val/.
    """

    def make(num_train: int = 12, num_test: int = 4, size: tuple[int, int] = (24, 20)) -> Path:
        rng, root = np.random.default_rng(0), tmp_path / "coloured"
        for part, count in (("train", num_train), ("val", num_test)):
            for name, colour in COLOURS.items():
                folder = root / part / name
                folder.mkdir(parents=True)
                for number in range(count):
                    pixels = np.clip(rng.normal(colour, 12, (*size[::-1], 3)), 0, 255)
                    Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number}.png")
        return root

    return make
