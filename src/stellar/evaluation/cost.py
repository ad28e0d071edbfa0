"""What a representation costs: numbers to keep for an image, beside the speed of making them."""

from collections.abc import Iterator

import torch

from stellar.config import ModelConfig
from stellar.evaluation.scores import Score
from stellar.evaluation.subject import Subject
from stellar.evaluation.throughput import images_per_second


def cost(subject: Subject) -> Iterator[Score]:
    """Numbers that an image takes, and how fast they are made."""
    config = subject.model.config
    for name, count in floats_per_image(config).items():
        yield Score("cost", f"{name}, numbers an image", float(count))
    pictures = torch.zeros(64, config.in_chans, config.image_size, config.image_size).byte()
    yield Score("cost", "encoding", images_per_second(subject.model, pictures), "images/s")


def floats_per_image(config: ModelConfig) -> dict[str, int]:
    """Numbers of each part of an image's factors, at the model's own image size."""
    patches = (config.image_size // config.patch_size) ** 2
    tokens, width = config.num_sparse_tokens, config.embed_dim
    sparse, spatial = tokens * width, patches * tokens
    found = {"cls": width, "S": sparse, "L": spatial, "S and L": sparse + spatial}
    found |= {"bottleneck": patches * config.bottleneck}
    found |= {"dense": 0 if config.bottleneck else patches * width}
    return {name: count for name, count in found.items() if count}
