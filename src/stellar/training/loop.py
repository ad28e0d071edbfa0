"""The training loop: batches of views in, a run folder out.

The same loop runs alone and in many processes: each takes its share of every batch, Sinkhorn
balances over all of them, and gradients are summed once a step. A run's state is its model, its
optimizer and its counters.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from rich.console import Console

from stellar.config import RunConfig
from stellar.data import Batch, MultiView, cut_on, view_batches
from stellar.data.views.photometric import apply as change_colours
from stellar.errors import UserError
from stellar.objective import Losses, StepResult, Views, step
from stellar.precision import autocast, resolve_precision
from stellar.processes.exchange import all_max, gather_lists, sum_gradients
from stellar.processes.launch import Ranks
from stellar.processes.sharded import clip_gradients
from stellar.training.ahead import Ahead
from stellar.training.blocks import compile_networks, compiles, recompute_blocks
from stellar.training.captured import CapturedStep
from stellar.training.checkpoint import Counters, restore
from stellar.training.health import measure_health
from stellar.training.interruption import Interruption
from stellar.training.optimizer import build_optimizer
from stellar.training.progress import TrainingProgress
from stellar.training.recorder import Recorder
from stellar.training.run_folder import RunFolder
from stellar.training.samples import sample_images
from stellar.training.schedule import learning_rate, num_steps, teacher_momentum
from stellar.training.setup import Parts
from stellar.training.sharding import shard


class TrainingStopped(UserError):
    """Too many steps in a row had a non-finite loss; the last checkpoint is from before."""


@dataclass(frozen=True)
class Update:
    """What one optimizer step did."""

    losses: Losses
    """Of the whole batch, over all processes."""
    total: float
    """Their weighted sum."""
    last: StepResult
    """This process's share of the last part of the batch."""
    gradient_norm: float
    finite: bool
    """False when the step was skipped."""


@dataclass(frozen=True)
class BatchPart:
    """A part of a step's batch, on the device."""

    views: Views
    share: float
    """Of a mean over the batch."""
    skipped: tuple[tuple[str, str], ...]
    """Name and reason of images that could not be read."""


class Training:
    """One run in one process: its parts, and the loop over them."""

    def __init__(
        self,
        config: RunConfig,
        parts: Parts,
        run: RunFolder | None,
        ranks: Ranks,
        device: torch.device,
        console: Console | None,
    ) -> None:
        training = config.training
        self.config, self.source, self.ranks, self.device = config, parts.source, ranks, device
        draws = training.sample_every and (run is not None or training.parallel == "fsdp")
        samples = sample_images(parts.source, config.model, count=6 if draws else 0)
        self.recorder, self.console = Recorder(run, console, samples), console if run else None
        self.recorder.begin(parts.source, parts.unreadable)
        self.precision = resolve_precision(training.precision, device)
        self.model = parts.model.to(device)
        if compiles(training.compile, device):
            compile_networks(self.model)
        if training.recompute:
            recompute_blocks(self.model)
        if training.parallel == "fsdp" and ranks.world_size > 1:
            shard(self.model, self.precision)
        self.optimizer = build_optimizer(self.model, training)
        self.autocast = autocast(self.precision, device)
        self.generator = torch.Generator(device)
        # Of the largest share of all processes: FSDP exchanges weights for each portion of views.
        self.views_of_each = training.views_of_each(training.largest_share(ranks.world_size))
        self.step = CapturedStep(self.run_step) if training.cuda_graph else self.run_step
        self.total = num_steps(len(self.source), training)
        self.counters = Counters()
        self.skipped: list[tuple[str, str]] = []

    def restore(self, run: Path) -> int:
        """Take up the run's newest whole checkpoint; returns its step."""
        self.counters = restore(run, self.model, self.optimizer, warn=self.recorder.warn)
        return self.counters.step

    def run_to_end(self) -> bool:
        """The loop; False when Ctrl-C or SIGTERM ended it early, with a checkpoint."""
        training, recorder = self.config.training, self.recorder
        self.announce()
        parts = Ahead(self.parts())
        progress = TrainingProgress(
            self.console, self.counters.step, self.total, training.batch_size
        )
        with Interruption() as interruption, progress:
            while self.counters.step < self.total:
                update = self.optimize(parts)
                self.count(update)
                step_now, last = self.counters.step, self.counters.step == self.total
                stop = all_max(torch.tensor(float(interruption.requested), device=self.device))
                progress.advance(step_now, update.total)
                if step_now % training.log_every == 0 or last:
                    self.log(update, progress.images_per_second)
                if training.sample_every and step_now % training.sample_every == 0:
                    recorder.draw(self.model, self.counters)
                if step_now % training.checkpoint_every == 0 or last or stop:
                    recorder.checkpoint(self.model, self.optimizer, self.counters)
                if stop and not last:
                    return False
        return True

    def optimize(self, parts: Ahead[BatchPart]) -> Update:
        """One optimizer step over the next parts, unless its loss or gradient is not finite."""
        training, done = self.config.training, self.counters.step
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(done, self.total, training)
        self.optimizer.zero_grad(set_to_none=not training.cuda_graph)
        losses, last = self.learn_from(parts)
        learning = [p for p in self.model.parameters() if p.grad is not None]
        sum_gradients(learning)
        norm = clip_gradients(learning, training.gradient_clip)
        total = losses.total(self.model.weights)
        loss = 0.0 if total is None else total.item()
        finite = math.isfinite(norm.item() + loss)
        if finite:
            self.optimizer.step()
            if self.model.teacher is not None:
                momentum = teacher_momentum(done, self.total, self.config.objective)
                self.model.teacher.update(self.model, momentum)
        return Update(losses, loss, last, norm.item(), finite)

    def learn_from(self, parts: Ahead[BatchPart]) -> tuple[Losses, StepResult]:
        """Forward and backward over this process's share of the batch: the whole batch's losses,
        and the last part's result.
        """
        losses, last = Losses(), None
        for number in range(self.config.training.accumulate):
            part = next(parts)
            self.skipped += part.skipped
            self.generator.manual_seed(self.seed(number))
            last = self.step(part.views, part.share)
            losses += last.losses * part.share
            del part  # its memory, for the next, which is made while a GPU is at this one
            parts.make()
        assert last is not None
        return losses.summed(), last

    def run_step(self, views: Views, share: float) -> StepResult:
        """Add the gradient of one part of a batch, by its share."""
        return step(
            self.model,
            views,
            backward=lambda loss: (loss * share).backward(),
            autocast=self.autocast,
            views_of_each=self.views_of_each,
            generator=self.generator,
        )

    def count(self, update: Update) -> None:
        """Advance the counters. Raises TrainingStopped after too many skipped steps in a row."""
        before, limit = self.counters, self.config.training.max_skipped_steps
        self.counters = replace(before, step=before.step + 1, skipped_in_a_row=0)
        if update.finite:
            return
        in_a_row = before.skipped_in_a_row + 1
        self.counters = Counters(before.step + 1, in_a_row, before.skipped + 1)
        terms = [n for n, value in update.losses.present() if not torch.isfinite(value)]
        self.recorder.warn(
            f"step {self.counters.step} skipped: non-finite {', '.join(terms) or 'gradient'}; "
            f"{in_a_row} in a row, {limit} end the run"
        )
        if in_a_row >= limit:
            raise TrainingStopped(
                f"{in_a_row} steps in a row had a non-finite loss, so the run was stopped; "
                "its last "
                "checkpoint is whole. Start again with a lower training.learning_rate, or with "
                "training.precision fp32"
            )

    def views(self, batch: Batch) -> Views:
        """A batch on the device, masked and local views with their colours changed."""
        there, config = batch.to(self.device), self.config.views
        masked, local = there.masked.flatten(0, 1), there.local.flatten(0, 1)
        second = there.masked[:, :2][:, -1] if config.num_masked else there.full
        return Views(
            full=there.full,
            masked=change_colours(masked, batch.masked_colour.flatten(0, 1), config),
            keep=there.keep.flatten(0, 1) if config.masking_ratio > 0 else None,
            local=change_colours(local, batch.local_colour.flatten(0, 1), config),
            teacher=None if self.model.teacher is None else second,
        )

    def seed(self, part: int) -> int:
        """Of a part of this step: a function of the run's seed, step and part alone."""
        key = (self.config.training.seed, self.counters.step, part)
        return int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0]) % 2**63

    def parts(self) -> Iterator[BatchPart]:
        """The rest of the run's batches for this process, in parts of an accumulated step."""
        training, model = self.config.training, self.config.model
        parts = training.accumulate
        batches = view_batches(
            MultiView(
                self.source,
                model.image_size,
                model.patch_size,
                self.config.views,
                training.seed,
                uncut=cut_on(self.device, self.config.views),
            ),
            training.batch_size // parts,
            training.seed,
            start_step=self.counters.step * parts,
            num_steps=(self.total - self.counters.step) * parts,
            rank=self.ranks.rank,
            world_size=self.ranks.world_size,
            num_workers=training.num_workers,
            device=self.device,
        )
        for batch in batches:
            share = len(batch.index) / training.batch_size
            yield BatchPart(self.views(batch), share, batch.skipped)

    def announce(self) -> None:
        """Say what is going to happen."""
        if self.counters.step >= self.total:
            self.recorder.say(f"finished already: all {self.total:,} steps are done")
            return
        count = sum(p.numel() for p in self.model.parameters() if p.requires_grad)
        first = f" from step {self.counters.step}" if self.counters.step else ""
        self.recorder.say(
            f"training {count / 1e6:.1f} M parameters on {len(self.source):,} images{first}: "
            f"{self.total:,} steps of {self.config.training.batch_size} images, "
            f"{self.precision} on {self.device}"
        )

    def log(self, update: Update, images_per_second: float) -> None:
        """One line of metrics, over all processes."""
        self.recorder.add_skipped(gather_lists(self.skipped))
        self.skipped = []
        losses = {"loss": update.total}
        losses |= {name: value.item() for name, value in update.losses.present()}
        figures = {
            "learning_rate": self.optimizer.param_groups[0]["lr"],
            "gradient_norm": update.gradient_norm,
            "images_per_second": round(images_per_second, 1),
        }
        health = measure_health(update.last, self.config.objective.prediction_temperature)
        self.recorder.metrics(self.counters, losses, figures, health)
