"""How quality falls when fewer of a picture's tokens are kept: those that explain most of it, from
one to all K, which may be up to 64. Z = L S of what is kept is drawn, and its classes are named,
by what was fitted to Z of all tokens.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from stellar.data.folder import evenly_spread
from stellar.data.labelled import MaskedSplits
from stellar.data.picture_batches import picture_batches
from stellar.evaluation.evaluators.evaluator import Evaluator
from stellar.evaluation.evaluators.reconstruction import psnr
from stellar.evaluation.evaluators.segmentation import count_pixels, head_on
from stellar.evaluation.features.patches import PatchBatch
from stellar.evaluation.metrics.confusion import mean_iou
from stellar.evaluation.probes.patch_heads import PatchHeads
from stellar.evaluation.scores import Quantity, Score
from stellar.evaluation.subject import Subject
from stellar.images import unit_range
from stellar.model import Stellar
from stellar.model.fewer_tokens import strongest

TEST = "fewer tokens"
COUNTS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)
"""Tokens that are kept, beside all of them. A model may have as many as the last, since a report
holds declared quantities alone.
"""
UNITS: Mapping[str, str] = {"numbers": "", "PSNR": "dB", "mIoU": "%"}


def kept(metric: str, count: int) -> Quantity:
    """One of UNITS, of Z of the `count` tokens that explain most of a picture."""
    tokens = "token" if count == 1 else "tokens"
    return Quantity(
        TEST, f"{metric}, {count} {tokens}", metric, "Z", k=count, unit=UNITS[metric],
        digits=",.0f" if metric == "numbers" else "",
    )  # fmt: skip


def counts_of(num_tokens: int) -> tuple[int, ...]:
    """How many of so many tokens are kept, up to all of them; none where there is no choice, or
    where there are more than the last of COUNTS.
    """
    if not 1 < num_tokens <= COUNTS[-1]:
        return ()
    return (*(count for count in COUNTS if count < num_tokens), num_tokens)


def fewer_tokens(subject: Subject) -> Iterator[Score]:
    """Numbers that S and L take, PSNR of a model that draws, mIoU where there are masks."""
    model, config = subject.model, subject.model.config
    if config.num_sparse_tokens > COUNTS[-1]:
        subject.note(
            f"{TEST} were not measured: the model has {config.num_sparse_tokens}, and the test is "
            f"for up to {COUNTS[-1]}"
        )
    counts = counts_of(config.num_sparse_tokens)
    if not counts:
        return
    patches = (config.image_size // config.patch_size) ** 2
    for count in counts:
        yield Score(kept("numbers", count), float(count * (config.embed_dim + patches)))
    if model.can_draw:
        yield from _drawn(subject, model, counts)
    if isinstance(subject.data, MaskedSplits):
        yield from _named(subject, subject.data, counts)


def _drawn(subject: Subject, model: Stellar, counts: tuple[int, ...]) -> Iterator[Score]:
    """PSNR of the pictures that `reconstruction` draws."""
    settings, images = subject.settings, subject.data.test
    indices = evenly_spread(images, settings.num_drawn or len(images))
    found: dict[int, list[Tensor]] = {count: [] for count in counts}
    done = 0
    for batch in picture_batches(
        images, indices, subject.fit, model.config, settings.batch_size, settings.num_workers
    ):
        if batch.indices:
            with torch.inference_mode():
                factors = model.encode(batch.images.to(model.device))
                for count in counts:
                    drawn = model.reconstruct(factors.strongest(count)).cpu()
                    found[count].append(psnr(unit_range(batch.images), drawn))
        done += len(batch.indices) + len(batch.unreadable)
        subject.progress(f"{subject.name}, drawn from fewer tokens", done, len(indices))
    for count, values in found.items():
        each = torch.cat(values).double() if values else torch.empty(0)
        finite = each[each.isfinite()]
        if len(finite):
            yield Score(kept("PSNR", count), finite.mean().item(), f"{len(finite)} test pictures")


def _named(subject: Subject, data: MaskedSplits, counts: tuple[int, ...]) -> Iterator[Score]:
    """mIoU by the head on Z that the first seed gives."""
    seed = subject.settings.seed
    head, _ = head_on("Z", subject, seed)
    confusions = count_pixels(
        {count: partial(_scores, head, count) for count in counts},
        subject.test_patches,
        data.test,
        subject.model.device,
    )
    for count, (confusion,) in confusions.items():
        if confusion.any():
            yield Score(kept("mIoU", count), 100 * mean_iou(confusion), f"seed {seed}")


def _scores(head: PatchHeads, count: int, batch: PatchBatch) -> Float[Tensor, "b P 1 c"]:
    """What a head says of Z of fewer tokens."""
    sparse, spatial = strongest(batch.sparse, batch.spatial, count)
    return head.scores(replace(batch, sparse=sparse, spatial=spatial))


ALL_COUNTS = range(1, COUNTS[-1] + 1)
FEWER_TOKENS = Evaluator(
    TEST,
    "of each picture the k tokens of which L has most, L normalised over them; Z = L S of these, "
    "drawn by the model's own decoder, and named by the head of segmentation that the first seed "
    "gives, which was fitted to Z of all tokens",
    fewer_tokens,
    quantities=tuple(kept(metric, count) for metric in UNITS for count in ALL_COUNTS),
)
