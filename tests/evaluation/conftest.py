from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from stellar.config import EvaluationConfig, ModelConfig
from stellar.data.labelled import MaskedSplits, Masks
from stellar.evaluation.evaluators.classification import linear, nearest
from stellar.evaluation.evaluators.reconstruction import likeness
from stellar.evaluation.evaluators.size_and_speed import ENCODING, numbers
from stellar.evaluation.evaluators.what_where import accuracy
from stellar.evaluation.scores import Evaluation, ModelScores, Score
from stellar.evaluation.subject import Subject
from stellar.images import unit_range
from stellar.model import Backbone, Factors, Stellar

COLOURS = torch.tensor([[20, 20, 20], [230, 30, 40], [40, 220, 30], [30, 50, 240]]).byte()
"""Of the classes of a mosaic; the first is the background, the others are objects."""


class Mosaics:
    """Pictures of 4 x 4 tiles in the colour of their class; a share of the tiles is ignored."""

    channels = 3

    def __init__(self, seed: int, size: tuple[int, int], length: int, ignored: float) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.tiles = torch.randint(4, (length, 4, 4), generator=generator).byte()
        self.ignored = torch.rand(length, 4, 4, generator=generator) < ignored
        self.size = size

    def __len__(self) -> int:
        return len(self.tiles)

    def name(self, index: int) -> str:
        return f"mosaic {index}"

    def read(self, index: int) -> Tensor:
        return COLOURS[self._enlarged(self.tiles[index]).long()].permute(2, 0, 1)

    def masks(self, index: int) -> Masks:
        classes = self.tiles[index].masked_fill(self.ignored[index], 255)
        objects = self.tiles[index].masked_fill(self.ignored[index], 0)
        return Masks(self._enlarged(classes), self._enlarged(objects))

    def _enlarged(self, tiles: Tensor) -> Tensor:
        return F.interpolate(tiles[None, None], self.size, mode="nearest")[0, 0]


def tiles_of(images: Tensor, config: ModelConfig) -> tuple[Tensor, Tensor]:
    """The class whose colour each patch has (b P), and the colours as features (4 D)."""
    means = F.avg_pool2d(unit_range(images), config.patch_size).flatten(2).mT
    colours = COLOURS / 255
    return torch.cdist(means, colours).argmin(dim=2), F.pad(colours, (0, config.embed_dim - 3))


class SeesColours(Stellar):
    """U is a patch's colour, S the four colours, and L says which; tokens come in an order that
    depends on the picture.
    """

    def encode(self, images: Tensor) -> Factors:
        tiles, colours = tiles_of(images, self.config)
        first = tiles[:, :1]
        sparse = torch.stack([colours.roll(-shift, 0) for shift in first[:, 0].tolist()])
        spatial = F.one_hot((tiles - first) % 4, 4).float()
        return Factors(sparse[:, 0], sparse, spatial, colours[tiles], (4, 4))


class SeesColoursOnly(Backbone):
    """The same U, and no tokens."""

    def encode(self, images: Tensor) -> Factors:
        tiles, colours = tiles_of(images, self.config)
        dense = colours[tiles]
        none = dense.new_empty(len(dense), 0, dense.shape[2]), dense.new_empty(len(dense), 16, 0)
        return Factors(dense[:, 0], *none, dense, (4, 4))


@pytest.fixture
def mosaics() -> Callable[..., MaskedSplits]:
    """Mosaics of a size in pixels, to train and to test on."""

    def make(
        size: tuple[int, int] = (4, 4),
        num_train: int = 60,
        num_test: int = 20,
        ignored: float = 0.1,
    ) -> MaskedSplits:
        train, test = Mosaics(0, size, num_train, ignored), Mosaics(1, size, num_test, ignored)
        return MaskedSplits(train, test, ("ground", "red", "green", "blue"), "mosaics")

    return make


@pytest.fixture
def seeing(small: ModelConfig) -> Stellar:
    """A model that knows the right answer for mosaics: by U, by S and by L."""
    return SeesColours(replace(small, num_sparse_tokens=4)).eval()


@pytest.fixture
def seeing_backbone(small: ModelConfig) -> Backbone:
    """A model without tokens that knows the right answer by U."""
    return SeesColoursOnly(replace(small, num_sparse_tokens=0)).eval()


@pytest.fixture
def subject_of(tmp_path: Path) -> Callable[..., Subject]:
    """A model on data, with two seeds."""

    def make(model: Stellar, data: MaskedSplits, **settings: Any) -> Subject:
        return Subject(
            "model", model, data, replace(EvaluationConfig(num_seeds=2), **settings), tmp_path
        )

    return make


THREE_COLOURS = {"blue": (20, 40, 220), "green": (30, 200, 40), "red": (220, 30, 30)}


@pytest.fixture
def coloured(tmp_path: Path) -> Callable[..., Path]:
    """A folder of pictures of three classes, which even a random network tells apart; of `size`
    (width, height), in train/ and val/.
    """

    def make(num_train: int = 12, num_test: int = 4, size: tuple[int, int] = (24, 20)) -> Path:
        rng, root = np.random.default_rng(0), tmp_path / "coloured"
        for part, count in (("train", num_train), ("val", num_test)):
            for name, colour in THREE_COLOURS.items():
                folder = root / part / name
                folder.mkdir(parents=True)
                for number in range(count):
                    pixels = np.clip(rng.normal(colour, 12, (*size[::-1], 3)), 0, 255)
                    Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number}.png")
        return root

    return make


CHANCE = {"class": 0.11, "colour": 0.13, "place": 0.26, "size": 0.35}


def classification(shift: float) -> list[Score]:
    """kNN and linear probe."""
    knn = [
        Score(nearest(feature, k), 40 + shift + k / 10)
        for feature in ("cls", "S", "U")
        for k in (10, 20)
    ]
    return [*knn, Score(linear("top-1"), 61.26 + shift, "S, rate 1.0e-03", 0.31)]


def scenes(shift: float) -> list[Score]:
    """The matrix, each cell with a value of its own."""
    cells = [
        (feature, label, probe)
        for feature in ("S", "L", "U")
        for label in CHANCE
        for probe in ("kNN", "linear")
    ]
    return [
        Score(
            accuracy(*cell),
            0.05 + 0.03 * place + shift / 100,
            detail="1973 objects",
            baseline=CHANCE[cell[1]],
        )
        for place, cell in enumerate(cells)
    ]


def drawing(shift: float) -> list[Score]:
    """Of a model that draws."""
    return [Score(likeness("PSNR"), 18.76 + shift, "1000 test pictures")]


def cost(shift: float) -> list[Score]:
    """Sizes and speed."""
    sizes = {"cls": 128, "S": 768, "L": 384, "S and L": 1152, "dense": 8192 + shift}
    found = [Score(numbers(name), float(count)) for name, count in sizes.items()]
    return [*found, Score(ENCODING, 1234.4)]


Part = Callable[[float], list[Score]]


@pytest.fixture
def make_evaluation() -> Callable[..., Evaluation]:
    """Models by their names, each with the scores of these parts, which differ by the model."""

    def make(
        *names: str, parts: tuple[Part, ...] = (classification, scenes, drawing, cost)
    ) -> Evaluation:
        models = tuple(
            ModelScores(
                name=name,
                sha256="0123456789abcdef" * 4,
                preprocessing="RGB, 48 x 48",
                num_unreadable=3,
                scores=tuple(score for part in parts for score in part(2.0 * place)),
                notes=("LPIPS needs its weights",),
            )
            for place, name in enumerate(names)
        )
        return Evaluation(
            data="training set: train, test set: val, as given",
            num_train=2345,
            num_test=1802,
            classes=("cat", "dog"),
            chance=0.375,
            protocol={"kNN": "by cosine", "seeds": "0, 1, 2"},
            models=models,
        )

    return make
