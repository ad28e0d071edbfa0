"""How fast a model encodes: images per second, uint8 pixels in, factors out."""

from statistics import median
from time import perf_counter

import torch
from jaxtyping import UInt8
from torch import Tensor

from stellar.evaluation.scenes import Encoder
from stellar.precision import inference


def images_per_second(model: Encoder, images: UInt8[Tensor, "b 3 h w"], rounds: int = 5) -> float:
    """Encoding speed on this batch, already on the model's device: the median after one warm-up."""
    images = images.to(model.device)
    times = [_encoding_seconds(model, images) for _ in range(rounds + 1)]
    return len(images) / median(times[1:])


def _encoding_seconds(model: Encoder, images: Tensor) -> float:
    _wait_for(model.device)
    start = perf_counter()
    with inference(model.device):
        model.encode(images)
    _wait_for(model.device)
    return perf_counter() - start


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
