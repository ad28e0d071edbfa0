"""What a representation costs: numbers to keep for an image, and the speed of making them.

Speed is images per second, uint8 pixels in, factors out.
"""

from collections.abc import Iterator
from statistics import median
from time import perf_counter

import torch
from jaxtyping import UInt8
from torch import Tensor

from stellar.config import ModelConfig
from stellar.evaluation.evaluators.evaluator import Evaluator, Measure
from stellar.evaluation.scores import Quantity, Score
from stellar.evaluation.subject import Subject
from stellar.model import Stellar
from stellar.precision import inference

PARTS = tuple(ModelConfig().numbers_per_image())
"""What may be kept of an image: cls, S, L, ..., as the configuration counts them."""
BATCH = 64
"""Pictures that are encoded at once."""
ENCODING = Quantity("cost", "encoding", "images/s", unit="images/s", digits=",.0f")


def numbers(part: str) -> Quantity:
    """How many numbers one of PARTS takes."""
    feature = {"dense": "U", "bottleneck": "Z"}.get(part, part)
    name = f"{part}, numbers an image"
    return Quantity("cost", name, "numbers an image", feature=feature, digits=",.0f")


def cost(subject: Subject) -> Iterator[Score]:
    """Numbers that an image takes, and how fast they are made."""
    config = subject.model.config
    for part, count in config.numbers_per_image().items():
        if count:
            yield Score(numbers(part), float(count))
    pictures = torch.zeros(BATCH, config.in_chans, config.image_size, config.image_size).byte()
    yield Score(ENCODING, images_per_second(subject.model, pictures))


def images_per_second(model: Stellar, images: UInt8[Tensor, "b C h w"], rounds: int = 5) -> float:
    """Encoding speed on this batch, already on the model's device: the median after one warm-up."""
    images = images.to(model.device)
    times = [_encoding_seconds(model, images) for _ in range(rounds + 1)]
    return len(images) / median(times[1:])


def _encoding_seconds(model: Stellar, images: Tensor) -> float:
    _wait_for(model.device)
    start = perf_counter()
    with inference(model):
        model.encode(images)
    _wait_for(model.device)
    return perf_counter() - start


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


NUMBERS = Measure(
    "Numbers an image", "S and L", (numbers("S and L"), numbers("bottleneck"), numbers("dense")),
    lower_is_better=True,
)  # fmt: skip
COST = Evaluator(
    "cost",
    f"numbers for an image at the model's image size; encoding in batches of {BATCH}",
    cost,
    quantities=(*map(numbers, PARTS), ENCODING),
    headline=(NUMBERS,),
)
