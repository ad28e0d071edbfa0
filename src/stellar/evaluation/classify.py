"""Models side by side on labelled pictures: what their features know, what they draw again, and
what they cost.

Each test is a generator of `Score`s; every number carries its protocol. Features are extracted
once, to disk, and shared by all tests. Nothing is chosen on the test pictures: kNN shows every k,
and the linear probe selects feature and learning rate on a held-out part of the training pictures.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from stellar.data.inference import picture_batches
from stellar.data.labelled import LabelledImages, Splits
from stellar.evaluation.cost import floats_per_image
from stellar.evaluation.features import Features, extract
from stellar.evaluation.knn import TEMPERATURE, knn_accuracy
from stellar.evaluation.linear import linear_probe
from stellar.evaluation.probes import largest_class_share
from stellar.evaluation.reconstruction import draw_again
from stellar.evaluation.throughput import images_per_second
from stellar.model import Backbone, Stellar
from stellar.model.files.saving import fingerprint

MAX_DRAWN = 256
"""Test pictures that are drawn again, the first ones."""
Progress = Callable[[str, int, int], object]
"""Called with (what is done, pictures done, pictures in all)."""


@dataclass(frozen=True)
class Score:
    """One number, with what it was measured by."""

    test: str
    name: str
    value: float
    unit: str
    detail: str = ""
    """What was chosen on the way."""


@dataclass(frozen=True)
class ModelScores:
    """All numbers of one model."""

    name: str
    sha256: str
    preprocessing: str
    num_train: int
    num_test: int
    num_unreadable: int
    chance: float
    """Share of the largest class among the test pictures."""
    scores: tuple[Score, ...]


@dataclass(frozen=True)
class Evaluation:
    """Several models on the same pictures."""

    data: str
    """How the pictures were divided."""
    num_classes: int
    protocol: Mapping[str, str]
    """How each test is made, in words."""
    models: tuple[ModelScores, ...]

    def as_json(self) -> dict[str, Any]:
        """Plain values, for a file."""
        return asdict(self)


PROTOCOL = {
    "kNN": f"cosine, votes weighted by exp(cosine / {TEMPERATURE}), top-1 on the test pictures",
    "linear probe": "LayerNorm and a linear layer, 12 learning rates from 1e-5 to 1e-2 trained at "
    "the same time; feature and rate chosen on a tenth of the training pictures",
    "reconstruction": f"mean PSNR of the first {MAX_DRAWN} test pictures at most, drawn from Z",
    "cost": "numbers for an image at the model's image size; encoding in batches of 64",
}


def evaluate(
    models: Mapping[str, Stellar | Backbone],
    splits: Splits,
    folder: str | Path,
    batch_size: int = 64,
    num_workers: int = 0,
    epochs: int = 10,
    seed: int = 0,
    progress: Progress = lambda _what, _done, _total: None,
) -> Evaluation:
    """Every test on every model. Features lie in a hidden part of `folder` while it runs."""
    return Evaluation(
        data=splits.description,
        num_classes=len(splits.classes),
        protocol=PROTOCOL | {"seed": str(seed), "epochs of the linear probe": str(epochs)},
        models=tuple(
            _evaluate(name, model, splits, Path(folder), batch_size, num_workers, epochs, seed,
                      progress)
            for name, model in models.items()
        ),
    )  # fmt: skip


def _evaluate(
    name: str,
    model: Stellar | Backbone,
    splits: Splits,
    folder: Path,
    batch_size: int,
    num_workers: int,
    epochs: int,
    seed: int,
    progress: Progress,
) -> ModelScores:
    with TemporaryDirectory(dir=folder, prefix=".features-") as cache:
        train, test = (
            extract(
                model, images, Path(cache) / part, batch_size, num_workers,
                lambda done, total, part=part: progress(f"{name}, {part}", done, total),
            )
            for part, images in (("train", splits.train), ("test", splits.test))
        )  # fmt: skip
        scores = (
            *_neighbours(train, test),
            *_linear(train, test, len(splits.classes), epochs, seed),
            *_reconstruction(model, splits.test),
            *_cost(model),
        )
        return ModelScores(
            name=name,
            sha256=fingerprint(model),
            preprocessing=train.preparation,
            num_train=len(train.labels),
            num_test=len(test.labels),
            num_unreadable=len(train.unreadable) + len(test.unreadable),
            chance=largest_class_share(test.labels),
            scores=scores,
        )


def _neighbours(train: Features, test: Features) -> Iterator[Score]:
    for feature in train.names:
        accuracy = knn_accuracy(
            train.tensor(feature), train.labels, test.tensor(feature), test.labels
        )
        for k, value in accuracy.items():
            yield Score("kNN", f"{feature}, k = {k}", 100 * value, "%")


def _linear(
    train: Features, test: Features, num_classes: int, epochs: int, seed: int
) -> Iterator[Score]:
    result = linear_probe(
        {name: train.tensor(name) for name in train.names}, train.labels,
        {name: test.tensor(name) for name in test.names}, test.labels,
        num_classes, epochs=epochs, seed=seed,
    )  # fmt: skip
    chosen = f"{result.feature}, rate {result.learning_rate:.1e}"
    yield Score("linear probe", "top-1", 100 * result.top1, "%", chosen)
    yield Score("linear probe", "top-5", 100 * result.top5, "%", chosen)


def _reconstruction(model: Stellar | Backbone, images: LabelledImages) -> Iterator[Score]:
    """PSNR, of a model that draws."""
    if not isinstance(model, Stellar) or not model.can_draw:
        return
    decibels = []
    indices = range(min(MAX_DRAWN, len(images)))
    for batch in picture_batches(images, indices, "crop", model.config, batch_size=32):
        if batch.indices:
            decibels.append(draw_again(model, batch.images)[2])
    if decibels:
        yield Score("reconstruction", "PSNR", torch.cat(decibels).mean().item(), "dB")


def _cost(model: Stellar | Backbone) -> Iterator[Score]:
    for name, count in floats_per_image(model.config).items():
        yield Score("cost", f"{name}, numbers an image", float(count), "")
    config = model.config
    pictures = torch.zeros(64, config.in_chans, config.image_size, config.image_size).byte()
    yield Score("cost", "encoding", images_per_second(model, pictures), "images/s")
