"""The parts of a run's batches on the device, with the colours of their views changed: what
`training.accumulate` splits the batch of a step into.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from stellar.config import RunConfig, ViewConfig
from stellar.data import Batch, ImageSource, MultiView, cut_on, view_batches
from stellar.data.views.photometric import apply as change_colours
from stellar.model.encoder import Images
from stellar.objective import Views
from stellar.processes.launch import Ranks


@dataclass(frozen=True)
class BatchPart:
    """This process's images of a part of a step's batch, on the device."""

    views: Views
    share: float
    """The weight of these images in a mean over the whole batch of the step."""
    skipped: tuple[tuple[str, str], ...]
    """Name and reason of images that could not be read."""


def batch_parts(
    config: RunConfig, source: ImageSource, steps: range, ranks: Ranks, device: torch.device
) -> Iterator[BatchPart]:
    """The parts of these steps' batches, one step's after the other's, for this process."""
    training, model, seen = config.training, config.model, config.views_read
    batches = view_batches(
        MultiView(
            source,
            model.image_size,
            model.patch_size,
            seen,
            training.seed,
            uncut=cut_on(device, seen),
        ),
        training.batch_size // training.accumulate,
        training.seed,
        start_step=steps.start * training.accumulate,
        num_steps=len(steps) * training.accumulate,
        rank=ranks.rank,
        world_size=ranks.world_size,
        num_workers=training.num_workers,
        device=device,
    )
    for batch in batches:
        views = views_on(device, batch, seen, config.objective.uses_second)
        yield BatchPart(views, len(batch.index) / training.batch_size, batch.skipped)


def views_on(device: torch.device, batch: Batch, config: ViewConfig, uses_second: bool) -> Views:
    """A batch on the device, masked and local views with their colours changed."""
    there = batch.to(device)
    masked, local = there.masked.flatten(0, 1), there.local.flatten(0, 1)
    masked = change_colours(masked, batch.masked_colour.flatten(0, 1), config)
    return Views(
        full=there.full,
        masked=masked,
        keep=there.keep.flatten(0, 1) if config.masking_ratio > 0 else None,
        local=change_colours(local, batch.local_colour.flatten(0, 1), config),
        second=second_of(masked, there.full) if uses_second else None,
    )


def second_of(masked: Float[Tensor, "BV C H W"], full: Images) -> Images:
    """The second whole view of each image: what its second masked view shows, or its only one, in
    the same colours, but all of it; the full view where none is masked.
    """
    num_masked = len(masked) // len(full)
    if not num_masked:
        return full
    return masked.unflatten(0, (len(full), num_masked))[:, min(1, num_masked - 1)]
