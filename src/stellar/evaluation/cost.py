"""What a representation costs: numbers to keep for an image, beside the speed of making them."""

from collections.abc import Iterator

import torch

from stellar.evaluation.scores import Score
from stellar.evaluation.subject import Subject
from stellar.evaluation.throughput import images_per_second


def cost(subject: Subject) -> Iterator[Score]:
    """Numbers that an image takes, and how fast they are made."""
    config = subject.model.config
    for name, count in config.numbers_per_image().items():
        if count:
            yield Score("cost", f"{name}, numbers an image", float(count))
    pictures = torch.zeros(64, config.in_chans, config.image_size, config.image_size).byte()
    yield Score("cost", "encoding", images_per_second(subject.model, pictures), "images/s")
