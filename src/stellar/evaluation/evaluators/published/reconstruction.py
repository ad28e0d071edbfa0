"""The published reconstruction probe: a new decoder on the frozen Z of our models, or U of others,
judged on random crops of the test pictures.

It draws what the model's own decoder draws: codes of the tokenizer, as in the published table, or
pixels. Its numbers are kept apart by that, as codes give a better rFID and pixels a better PSNR.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from stellar.data.picture_batches import pictures_at
from stellar.evaluation.evaluators.evaluator import Evaluator, Measure
from stellar.evaluation.evaluators.frozen_decoder import frozen_features
from stellar.evaluation.evaluators.published.crops import RandomCrops
from stellar.evaluation.evaluators.published.steps import (
    CLIPPING,
    WEIGHT_DECAY,
    Steps,
    budget,
    epochs_of,
    readable,
)
from stellar.evaluation.evaluators.reconstruction import NAMES, judge, likeness
from stellar.evaluation.scores import Quantity, Score
from stellar.evaluation.subject import Subject
from stellar.images import unit_range
from stellar.model import Stellar
from stellar.model.decoder import Decoder
from stellar.precision import autocast, resolve_precision

TEST = "published reconstruction"
EPOCHS, BATCH, RATE = 20, 128, 1e-4
SCALE = (0.36, 1.0)
PIXELS_WEIGHT, CODES_WEIGHT = 10.0, 0.05
"""Of the loss; with the clipping of gradients they matter."""

Target = Literal["codes", "pixels"]
TARGETS: tuple[Target, ...] = ("codes", "pixels")


def drawn_by(metric: str, target: Target) -> Quantity:
    """How alike pictures and drawings are that were made of codes, or of pixels."""
    quantity = likeness(metric, TEST)
    return replace(quantity, name=f"{quantity.name}, by {target}", probe=f"decoder to {target}")


def published_reconstruction(subject: Subject) -> Iterator[Score]:
    """The measures of `reconstruction` on one random crop of each test picture."""
    model, settings = subject.model, subject.settings
    target: Target = model.config.decoder.target
    if target == "codes" and model.tokenizer is None:
        subject.note(f"{TEST} was not measured: the model draws codes, and needs its tokenizer")
        return
    runs = []
    for seed in settings.seeds:
        crops = RandomCrops(subject.data.test, model.config.image_size, SCALE, seed)
        probe = train_probe(subject, seed)
        runs.append(list(judge(subject, crops, probe.draw, TEST)))
    for scores in zip(*runs, strict=True):
        first, values = scores[0], [score.value for score in scores]
        quantity = drawn_by(first.quantity.metric, target)
        yield Score.over_seeds(quantity, values, f"{budget(settings, EPOCHS)}; {first.detail}")


@dataclass(frozen=True)
class Probe:
    """A decoder behind a model that stays as it is."""

    model: Stellar
    decoder: Decoder

    def loss(self, images: Tensor) -> Float[Tensor, ""]:
        """Of pictures (b c h w) as they were read: cross-entropy of their codes, or squared error
        of their pixels.
        """
        prediction, _ = self._predicted(images)
        pictures = unit_range(images.to(self.model.device))
        if self.model.config.decoder.target == "codes":
            codes = self.model.codes(pictures)
            return CODES_WEIGHT * F.cross_entropy(prediction.flatten(0, 1), codes.flatten().long())
        return PIXELS_WEIGHT * F.mse_loss(prediction, pictures)

    def draw(self, images: Tensor) -> Float[Tensor, "b c h w"]:
        """Drawings of pictures (b c h w) as they were read, in [0, 1], on the CPU."""
        with torch.inference_mode():
            prediction, grid = self._predicted(images)
            return self.model.drawn(prediction, grid).cpu()

    def _predicted(self, images: Tensor) -> tuple[Tensor, tuple[int, int]]:
        """Pixels or logits of codes in fp32, and the grid."""
        features, grid = frozen_features(self.model, images)
        device = features.device
        with autocast(resolve_precision("auto", device), device)():
            return self.decoder(features, grid).float(), grid


def train_probe(subject: Subject, seed: int) -> Probe:
    """To what the model draws, after the last epoch. Raises DataError if no picture can be read."""
    model, settings, images = subject.model, subject.settings, subject.data.train
    size = model.config.image_size
    crops = RandomCrops(images, size, SCALE, seed, epochs_of(settings, EPOCHS))
    steps = Steps(len(images), crops.epochs, BATCH, BATCH, seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        own = model.config.decoder
        decoder = replace(subject.decoder, target=own.target, num_codes=own.num_codes)
        probe = Probe(model, Decoder(replace(model.config, decoder=decoder)).to(model.device))
    parameters = list(probe.decoder.parameters())
    optimizer = torch.optim.AdamW(parameters, RATE, weight_decay=WEIGHT_DECAY)
    portions = pictures_at(
        crops, steps.portions(), subject.fit, model.config, settings.num_workers, model.device
    )
    for (batch,) in readable(subject, TEST, steps, portions):
        loss = probe.loss(batch.images)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, CLIPPING)
        optimizer.step()
    return probe


RFID = Measure(
    "Published rFID", "decoder on frozen features, published protocol",
    tuple(drawn_by("rFID", target) for target in TARGETS), lower_is_better=True,
)  # fmt: skip
LPIPS = Measure(
    "Published LPIPS", "decoder on frozen features, published protocol",
    tuple(drawn_by("LPIPS", target) for target in TARGETS), lower_is_better=True,
)  # fmt: skip
PUBLISHED_RECONSTRUCTION = Evaluator(
    TEST,
    "published protocol: a new decoder of 6 layers on frozen Z (U of models without tokens) to the "
    "tokenizer's codes, or to pixels where the model draws pixels; AdamW 1e-4, weight decay 1e-4, "
    "constant, batches of 128, 20 epochs over nine tenths of the training pictures, each cropped "
    "anew (0.36 to 1 of its area) and mirrored. Others draw whole test pictures or their centres; "
    "here each is one random crop, half of them mirrored, so that no two papers' test pictures are "
    "the same. How the published rFID and LPIPS were computed is not known; these are our own",
    published_reconstruction,
    quantities=tuple(drawn_by(metric, target) for target in TARGETS for metric in NAMES),
    headline=(RFID, LPIPS),
)
