"""What can be drawn from features that were not trained to be drawn from: a new decoder on the
frozen Z of our models and on the dense U of others, with one budget for all.

The paper's protocol: 6 transformer blocks, 512 wide, to pixels, mean squared error. Features come
in with mean 0 and variance 1 in every channel, so that one learning rate suits all models. The
pictures of every step follow from the seed alone.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import chain

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from stellar.config import DecoderConfig
from stellar.data.folder import DataError
from stellar.data.picture_batches import picture_batches
from stellar.evaluation.evaluators.evaluator import Evaluator, Measure
from stellar.evaluation.evaluators.reconstruction import NAMES, judge, likeness
from stellar.evaluation.scores import Score
from stellar.evaluation.subject import Subject
from stellar.images import unit_range
from stellar.model import Stellar
from stellar.model.decoder import Decoder
from stellar.precision import autocast, inference, resolve_precision

TEST = "reconstruction, decoder on frozen features"
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
        runs.append(list(judge(subject, subject.data.test, decoder.draw, TEST)))
    for scores in zip(*runs, strict=True):
        first, values = scores[0], [score.value for score in scores]
        yield Score.over_seeds(first.quantity, values, first.detail)


@dataclass(frozen=True)
class FrozenDecoder:
    """A decoder behind a model that stays as it is."""

    model: Stellar
    decoder: Decoder
    mean: Float[Tensor, " D"]
    """Of every channel of the features, which the decoder gets without it."""
    std: Float[Tensor, " D"]
    """Of every channel of the features, which the decoder gets divided by it."""

    @classmethod
    def untrained(cls, model: Stellar, config: DecoderConfig, images: Tensor) -> "FrozenDecoder":
        """Mean and variance of the features are those of `images` (b c h w), as they were read."""
        decoder = Decoder(replace(model.config, decoder=config))
        colour = unit_range(images).mean(dim=(0, 2, 3))
        decoder.head.bias = nn.Parameter(colour)  # where every drawing would go first
        features, _ = frozen_features(model, images)
        mean, std = features.mean(dim=(0, 1)), features.std(dim=(0, 1)).clamp_min(1e-6)
        return cls(model, decoder.to(model.device), mean, std)

    def __call__(self, images: Tensor) -> Float[Tensor, "b c h w"]:
        """Pictures (b c h w) as they were read, drawn again."""
        features, grid = frozen_features(self.model, images)
        device = features.device
        with autocast(resolve_precision("auto", device), device)():
            return self.decoder((features - self.mean) / self.std, grid).float()

    def draw(self, images: Tensor) -> Float[Tensor, "b c h w"]:
        """In [0, 1], on the CPU, without gradients."""
        with torch.inference_mode():
            return self(images).clamp(0, 1).cpu()


def frozen_features(
    model: Stellar, images: Tensor
) -> tuple[Float[Tensor, "b p d"], tuple[int, int]]:
    """What is drawn from, without gradients, and its grid: Z, which is U where there are no
    tokens.
    """
    with inference(model):
        factors = model.encode(images.to(model.device))
        lowrank = factors.lowrank
    return lowrank.float().clone(), factors.grid


def train_decoder(subject: Subject, seed: int) -> FrozenDecoder:
    """A decoder after `decoder_steps` batches of training pictures, in epochs of random order.

    Raises DataError when none of the pictures can be read.
    """
    steps, batches = subject.settings.decoder_steps, _batches(subject, seed)
    first = next(batches, None)
    if first is None:
        raise DataError(f"none of {len(subject.data.train)} training pictures can be read")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        frozen = FrozenDecoder.untrained(subject.model, subject.decoder, first)
    parameters = list(frozen.decoder.parameters())
    optimizer = torch.optim.AdamW(parameters, PEAK_RATE)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: _warmup_under_cosine(step, steps)
    )
    for step, images in enumerate(chain([first], batches), 1):
        loss = F.mse_loss(frozen(images), unit_range(images).to(subject.model.device))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, CLIPPING)
        optimizer.step()
        schedule.step()
        subject.progress(f"{subject.name}, decoder", step, steps)
    return frozen


def _warmup_under_cosine(step: int, steps: int) -> float:
    """The share of the peak learning rate in step t of T, of which w are the warmup: the lower of
    (t + 1) / w and (1 + cos(pi t / T)) / 2, a cosine over all of the steps.
    """
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


PSNR = Measure("PSNR", "decoder on frozen features", (likeness("PSNR", TEST),))
RFID = Measure("rFID", "decoder on frozen features", (likeness("rFID", TEST),), True)
FROZEN_RECONSTRUCTION = Evaluator(
    TEST,
    "the same measures, drawn by a new decoder of 6 layers, trained on Z of ours and U of others, "
    "the same steps for all",
    frozen_reconstruction,
    quantities=tuple(likeness(metric, TEST) for metric in NAMES),
    headline=(PSNR, RFID),
)
