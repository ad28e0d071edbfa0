"""What can be drawn from features that were not trained to be drawn from: a new decoder on the
frozen Z of our models and on the dense U of others, with one budget for all.

The paper's protocol: 6 transformer blocks, 512 wide, to pixels, mean squared error. Features come
in with mean 0 and variance 1 in every channel, so that one learning rate suits all models. The
pictures of every step follow from the seed alone.
"""

import math
from collections.abc import Iterator
from dataclasses import replace

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from stellar.config import DecoderConfig
from stellar.data.folder import DataError
from stellar.data.inference import picture_batches
from stellar.evaluation.evaluators.reconstruction import judge
from stellar.evaluation.report.measures import FROZEN
from stellar.evaluation.scores import Score
from stellar.evaluation.subject import Subject
from stellar.images import unit_range
from stellar.model import Backbone, Stellar
from stellar.model.decoder import Decoder
from stellar.precision import autocast, inference, resolve_precision

BATCH_SIZE = 32
PEAK_RATE = 5e-4
WARMUP = 0.1
"""Share of the steps in which the learning rate rises; it falls to zero along a cosine."""
CLIPPING = 1.0
"""Largest norm of the gradient."""


def frozen_reconstruction(subject: Subject) -> Iterator[Score]:
    """The measures of `reconstruction`, by a decoder for each seed; none when no steps are set."""
    if not subject.settings.decoder_steps:
        return
    runs = []
    for seed in subject.settings.seeds:
        decoder = train_decoder(subject, seed)
        runs.append(list(judge(subject, decoder.draw)))
    for scores in zip(*runs, strict=True):
        first, values = scores[0], [score.value for score in scores]
        name = f"{first.name}, {FROZEN}"
        yield Score.over_seeds(first.test, name, values, first.unit, first.detail)


class FrozenDecoder(nn.Module):
    """A decoder behind a model that stays as it is."""

    mean: Tensor
    std: Tensor

    def __init__(self, model: Stellar | Backbone, decoder: DecoderConfig, images: Tensor) -> None:
        """`images`: a batch of pictures that mean and variance of the features are taken from."""
        super().__init__()
        self.decoder = Decoder(replace(model.config, decoder=decoder))
        colour = unit_range(images).mean(dim=(0, 2, 3))
        self.decoder.head.bias = nn.Parameter(colour)  # where every drawing would go first
        self.to(model.device)
        self.model = (model,)  # in a tuple: no part of this module
        features, _ = self._features(images)
        self.register_buffer("mean", features.mean(dim=(0, 1)))
        self.register_buffer("std", features.std(dim=(0, 1)).clamp_min(1e-6))

    def forward(self, images: Tensor) -> Float[Tensor, "b c h w"]:
        """Pictures (b c h w) as they were read, drawn again."""
        features, grid = self._features(images)
        device = features.device
        with autocast(resolve_precision("auto", device), device)():
            return self.decoder((features - self.mean) / self.std, grid).float()

    def draw(self, images: Tensor) -> Float[Tensor, "b c h w"]:
        """In [0, 1], on the CPU, without gradients."""
        with torch.inference_mode():
            return self(images).clamp(0, 1).cpu()

    def _features(self, images: Tensor) -> tuple[Float[Tensor, "b p d"], tuple[int, int]]:
        (model,) = self.model
        with inference(model.device):
            factors = model.encode(images.to(model.device))
            own = factors.lowrank if isinstance(model, Stellar) else factors.dense
        return own.float().clone(), factors.grid


def train_decoder(subject: Subject, seed: int) -> FrozenDecoder:
    """A decoder after `decoder_steps` batches of training pictures, in epochs of random order.

    Raises DataError when none of the pictures can be read.
    """
    config, steps, trained = subject.decoder, subject.settings.decoder_steps, None
    for step, images in enumerate(_batches(subject, seed)):
        if trained is None:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                trained = FrozenDecoder(subject.model, config, images)
            optimizer = torch.optim.AdamW(trained.decoder.parameters(), PEAK_RATE)
            schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda s: _share(s, steps))
        loss = F.mse_loss(trained(images), unit_range(images).to(subject.model.device))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(trained.decoder.parameters(), CLIPPING)
        optimizer.step()
        schedule.step()
        subject.progress(f"{subject.name}, decoder", step + 1, steps)
    if trained is None:
        raise DataError(f"none of {len(subject.data.train)} training pictures can be read")
    return trained


def _share(step: int, steps: int) -> float:
    """Of the peak learning rate: up in a line, then down to zero along a cosine."""
    warmup = max(1, round(WARMUP * steps))
    return min((step + 1) / warmup, 0.5 * (1 + math.cos(math.pi * step / steps)))


def _batches(subject: Subject, seed: int) -> Iterator[Tensor]:
    """The pictures of each step: unreadable ones are left out."""
    settings, images = subject.settings, subject.data.train
    wanted = settings.decoder_steps * BATCH_SIZE
    generator = torch.Generator().manual_seed(seed)
    order = torch.cat(
        [torch.randperm(len(images), generator=generator) for _ in range(-(-wanted // len(images)))]
    )
    for batch in picture_batches(
        images,
        order[:wanted].tolist(),
        subject.fit,
        subject.model.config,
        BATCH_SIZE,
        settings.num_workers,
    ):
        if batch.indices:
            yield batch.images
