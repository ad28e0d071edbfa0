"""The training loop: batches of views in, a run folder out.

The same loop runs alone and in many processes: each takes its share of every batch, Sinkhorn
balances over all of them, and gradients are summed once a step. A run's state is its model, its
optimizer and its counters.
"""

import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from rich.console import Console

from stellar.config import RunConfig
from stellar.data import ImageSource
from stellar.model.history import public_name
from stellar.objective import Losses, PretrainingModel, StepResult, Views, step
from stellar.precision import autocast, resolve_precision
from stellar.processes.exchange import all_max, gather_lists
from stellar.processes.launch import Ranks
from stellar.processes.sharded import clip_gradients, sum_gradients
from stellar.quantities import counted, digits, scaled
from stellar.training.batch_parts import BatchPart, batch_parts
from stellar.training.checkpoint import Counters, restore
from stellar.training.computation import compute_as
from stellar.training.cuda_graph import CapturedStep
from stellar.training.divergence import TrainingStopped, diverged
from stellar.training.fsdp import shard
from stellar.training.health import measure_health
from stellar.training.interruption import Interruption
from stellar.training.optimizer import build_optimizer
from stellar.training.prefetch import Prefetch
from stellar.training.progress import TrainingProgress
from stellar.training.recorder import Look, Recorder, Told
from stellar.training.run_folder import RunFolder
from stellar.training.samples import sample_images
from stellar.training.schedule import learning_rate, teacher_momentum
from stellar.training.setup import Ingredients

SETTLING, MOST_SETTLING = 0.5, 200
"""Share of a run, and steps at most, before anything is said of its health."""


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


class Training:
    """One run in one process: its model and all that trains it, and the loop over its steps."""

    def __init__(
        self,
        config: RunConfig,
        source: ImageSource,
        model: PretrainingModel,
        optimizer: torch.optim.Optimizer,
        recorder: Recorder,
        ranks: Ranks,
        device: torch.device,
    ) -> None:
        training = config.training
        self.config, self.source, self.ranks, self.device = config, source, ranks, device
        self.model, self.optimizer, self.recorder = model, optimizer, recorder
        self.precision = resolve_precision(training.precision, device)
        self.autocast = autocast(self.precision, device)
        self.generator = torch.Generator(device)
        # The same in all processes, though some have an image less: FSDP exchanges weights for
        # each portion of views, so all must have as many portions.
        self.views_of_each = training.views_of_each(training.images_at_once(ranks.world_size))
        self.step = CapturedStep(self.run_step) if training.cuda_graph else self.run_step
        self.total = training.num_steps(len(source))
        self.counters = Counters()
        self.saved_step = 0
        self.skipped: list[tuple[str, str]] = []

    @classmethod
    def set_up(
        cls,
        ingredients: Ingredients,
        run: RunFolder | None,
        ranks: Ranks,
        device: torch.device,
        console: Console | None,
        look: Look | None = None,
        told: Told | None = None,
    ) -> "Training":
        """A run before its first step: its recorder knows the images that cannot be read and those
        to draw; its model lies on the device, computed and sharded as the settings say, and has an
        optimizer. Without a run's folder nothing is written.
        """
        config, source = ingredients.config, ingredients.source
        training = config.training
        # A process draws and looks to write, or because a model that is sharded cannot be run by
        # one alone. Where there are no tokens, there are no maps to draw.
        shows = run is not None or training.parallel == "fsdp"
        draws = shows and training.sample_every and config.model.num_sparse_tokens
        samples = sample_images(source, config.model, count=6 if draws else 0)
        recorder = Recorder(run, console, samples, look if shows else None, told)
        recorder.begin(source, ingredients.unreadable)
        model = ingredients.model.to(device)
        compute_as(model, training, device)
        if training.parallel == "fsdp" and ranks.world_size > 1:
            shard(model, resolve_precision(training.precision, device))
        optimizer = build_optimizer(model, training)
        return cls(config, source, model, optimizer, recorder, ranks, device)

    def restore(self, run: Path) -> int:
        """Take up the run's newest whole checkpoint; returns its step."""
        self.counters = restore(
            run, self.model, self.optimizer, self.config, warn=self.recorder.warn
        )
        self.saved_step = self.counters.step
        return self.saved_step

    def run_to_end(self) -> bool:
        """The loop; False when Ctrl-C or SIGTERM ended it early, with a checkpoint. Raises
        TrainingStopped when too many steps in a row were skipped, or the last ones of the run.
        """
        training, recorder = self.config.training, self.recorder
        self.announce()
        parts = self.parts()
        progress = TrainingProgress(
            recorder.console, self.counters.step, self.total, training.batch_size
        )
        with Interruption() as interruption, progress:
            while self.counters.step < self.total:
                update = self.optimize(parts)
                self.count(update)
                step_now, last = self.counters.step, self.counters.step == self.total
                # One process that is asked to stop stops all of them, after the same step.
                stop = all_max(torch.tensor(float(interruption.requested), device=self.device))
                progress.advance(step_now, update.total)
                if step_now % training.log_every == 0 or last:
                    self.log(update, progress.images_per_second)
                draws = training.sample_every and (last or step_now % training.sample_every == 0)
                if draws and update.finite:
                    recorder.draw(self.model, self.counters)
                if step_now % training.checkpoint_every == 0 or last or stop:
                    self.save()
                if stop and not last:
                    return False
        self.require_finite_end()
        return True

    def save(self) -> None:
        """Write a checkpoint, but not while steps are skipped: its weights may be what gives no
        finite loss, and the good ones before would be removed for it. A run that is resumed takes
        these steps again. Where the very last step alone is skipped, the run has its weights.
        """
        tolerated = 1 if self.counters.step == self.total else 0
        if self.counters.skipped_in_a_row <= tolerated:
            self.recorder.checkpoint(self.model, self.optimizer, self.counters)
            self.saved_step = self.counters.step

    def optimize(self, parts: Prefetch[BatchPart]) -> Update:
        """One optimizer step over the next parts of a batch, which is not taken when their loss or
        gradient is not finite.
        """
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
        # Loss and norm are those of sums over all processes, so that each of them sees the same
        # two numbers, and all take the step or none does.
        finite = math.isfinite(norm.item() + loss)
        if finite:
            self.optimizer.step()
            if self.model.teacher is not None:
                momentum = teacher_momentum(done, self.total, self.config.objective)
                self.model.teacher.update(self.model, momentum)
        return Update(losses, loss, last, norm.item(), finite)

    def learn_from(self, parts: Prefetch[BatchPart]) -> tuple[Losses, StepResult]:
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
            # Its memory is for the next part, which is made while a GPU is at this one.
            del part
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
            pack_views=self.config.training.pack_views,
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
            raise self.stopped(
                f"{in_a_row} steps in a row had a non-finite loss or gradient, so the run was "
                "stopped"
            )

    def require_finite_end(self) -> None:
        """Raises TrainingStopped when the last steps were skipped, more than one: nobody knows
        whether a further one could have been taken.
        """
        if self.counters.skipped_in_a_row > 1:
            raise self.stopped(
                f"the run skipped {self.counters.skipped:,} of {self.total:,} steps for a "
                "non-finite loss or gradient, the last ones too, so it was not finished"
            )

    def stopped(self, what: str) -> TrainingStopped:
        """The error that ends the run."""
        run = self.recorder.run
        return diverged(what, self.counters, None if run is None else run.path)

    def seed(self, part: int) -> int:
        """The seed of a part of this step's batch, from the run's seed and both numbers alone."""
        key = (self.config.training.seed, self.counters.step, part)
        return int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0]) % 2**63

    def parts(self) -> Prefetch[BatchPart]:
        """The parts of the batches of all steps that are left, for this process."""
        steps = range(self.counters.step, self.total)
        return Prefetch(batch_parts(self.config, self.source, steps, self.ranks, self.device))

    def announce(self) -> None:
        """Say what is going to happen."""
        if self.counters.step >= self.total:
            self.recorder.say(f"finished already: all {self.counters.step:,} steps are done")
            return
        count = sum(p.numel() for p in self.model.parameters() if p.requires_grad)
        unreadable = self.recorder.num_unreadable
        images = counted(len(self.source), "image")
        images += f" of {public_name(self.config.data)}" if self.config.data else ""
        images += f" ({unreadable:,} of them cannot be read)" if unreadable else ""
        first = f" from step {self.counters.step}" if self.counters.step else ""
        size = self.config.training.batch_size
        epochs = digits(self.total * size / len(self.source))
        self.recorder.say(
            f"training {scaled(count)} parameters on {images}{first}: "
            f"{counted(self.total, 'step')} of {counted(size, 'image')} (epochs: {epochs}), "
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
        settled = self.counters.step >= min(SETTLING * self.total, MOST_SETTLING)
        self.recorder.metrics(self.counters, losses, figures, health, settled)
