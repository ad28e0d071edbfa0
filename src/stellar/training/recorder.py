"""What a run leaves behind and says: metrics, warnings, pictures, checkpoints. Other processes
than the first are silent.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from typing import Any

import torch
from jaxtyping import UInt8
from rich.console import Console
from torch import Tensor

from stellar.data import ImageSource
from stellar.model import Stellar
from stellar.model.files.config_json import HISTORY
from stellar.model.history import History, public_name
from stellar.objective import PretrainingModel
from stellar.processes.exchange import together
from stellar.training.checkpoint import Counters, give_parts, prune, save_checkpoint
from stellar.training.health import Health
from stellar.training.kept_settings import told_settings
from stellar.training.run_folder import SKIPPED, RunFolder
from stellar.training.samples import draw_samples

NOT_OF_THE_MODEL = ("learning_rate", "images_per_second", "skipped_steps", "skipped_images")
"""Figures in a line of metrics that are about the run, not its model: a checkpoint's history leaves
them out.
"""


Look = Callable[[Stellar], str]
"""Looks at a model that is learning, and says in a line what it knows by now."""
Told = Callable[[Mapping[str, Any]], object]
"""Is told each row of metrics, as `metrics.jsonl` has it."""


class Recorder:
    """Writes into the run's folder and to the terminal; with `run` None, it is silent. `samples`
    are the images that are drawn now and then; `look` is asked about the model then; `told` gets
    the metrics.
    """

    def __init__(
        self,
        run: RunFolder | None,
        console: Console | None,
        samples: UInt8[Tensor, "n C h w"],
        look: Look | None = None,
        told: Told | None = None,
    ) -> None:
        self.run, self.console = run, console if run is not None else None
        self._samples, self._look, self._told = samples, look, told
        self._warned: set[str] = set()
        self._tensorboard: Any = None

    def begin(self, source: ImageSource, unreadable: list[tuple[str, str]]) -> None:
        """Tell of images that cannot be read."""
        if self.run is None:
            return
        self._num_images = len(source)
        if self.run.add_skipped(unreadable):
            self.warn(
                f"{len(unreadable)} of the images looked at cannot be read and are left out; "
                f"{self.run.path / SKIPPED} lists them"
            )

    @property
    def num_unreadable(self) -> int:
        """Images that are known to be unreadable, in the first process."""
        return 0 if self.run is None else self.run.num_skipped

    def say(self, message: str, style: str = "") -> None:
        """To the terminal and the log."""
        if self.run is not None:
            self.run.log(message)
        if self.console is not None:
            self.console.print(message, style=style, highlight=False, markup=False, soft_wrap=True)

    def warn(self, message: str) -> None:
        """To the terminal and the log, marked as a warning."""
        self.say(f"warning: {message}", style="yellow")

    def add_skipped(self, images: Iterable[tuple[str, str]]) -> None:
        """List images that could not be read, in the run's folder."""
        if self.run is not None:
            self.run.add_skipped(images)

    def metrics(
        self,
        counters: Counters,
        losses: dict[str, float],
        figures: dict[str, float],
        health: Health,
        settled: bool = True,
    ) -> None:
        """One line of metrics with the model's health, and a warning where it ails, once the run
        has `settled`: tokens that have learned nothing yet are all alike.
        """
        if self.run is None:
            return
        row = {
            "step": counters.step,
            **losses,
            **figures,
            **health.as_row(),
            "skipped_steps": counters.skipped,
            "skipped_images": self.run.num_skipped,
        }
        if self.run.config.training.tensorboard:
            self._tensorboard = self._tensorboard or _open_tensorboard(self.run)
            for name, value in row.items():
                self._tensorboard.add_scalar(name, value, counters.step)
            self._tensorboard.flush()
        self.run.add_metrics(row)
        if self._told is not None:
            self._told(self.run.last_metrics)
        if settled:
            self._warn_once(health)

    def draw(self, model: PretrainingModel, counters: Counters) -> None:
        """A sample picture, which the first process keeps, and says where it lies, and what the
        model knows by now; where the model is sharded, all draw it, since none can alone.
        """
        told = [f"step {counters.step:,}"]
        if self._look is not None:
            told.append(self._look(model))
        if len(self._samples):
            picture = draw_samples(model, self._samples)
            if self.run is not None:
                told.append(str(self.run.add_sample(counters.step, picture)))
        if len(told) > 1:
            self.say("  ".join(told))

    def checkpoint(
        self, model: PretrainingModel, optimizer: torch.optim.Optimizer, counters: Counters
    ) -> None:
        """Write a checkpoint, and remove older ones as configured. Where it cannot be written, all
        processes end.
        """
        with together():
            if self.run is None:
                give_parts(model, optimizer)
            else:
                told = told_settings(self.run.config)
                told[HISTORY] = asdict(self._history(self.run, counters))
                save_checkpoint(self.run.path, model, optimizer, counters, told)
                prune(self.run.path, counters.step, self.run.config.training.keep_every)

    def _history(self, run: RunFolder, counters: Counters) -> History:
        """What a checkpoint tells of the run so far."""
        return History(
            data=public_name(run.config.data),
            num_images=self._num_images,
            init=public_name(run.config.init),
            steps=counters.step,
            total_steps=run.config.training.num_steps(self._num_images),
            batch_size=run.config.training.batch_size,
            metrics={
                name: value
                for name, value in run.last_metrics.items()
                if name not in NOT_OF_THE_MODEL and value is not None
            },
        )

    def _warn_once(self, health: Health) -> None:
        """Each ailment is told when it begins, and again only after it had gone."""
        ailments = health.warnings()
        for name, message in ailments.items():
            if name not in self._warned:
                self.warn(f"the representation may be collapsing: {message}")
        self._warned = set(ailments)


def _open_tensorboard(run: RunFolder) -> Any:
    """A writer, opened for its first row, so that a run that took no step leaves none; TensorBoard
    forgets the steps that the run's metrics have forgotten.
    """
    from torch.utils.tensorboard import SummaryWriter

    next_step = run.last_metrics.get("step", 0) + 1
    return SummaryWriter(str(run.path / "tensorboard"), purge_step=next_step)
