"""The end of a run whose loss or gradient is no finite number any more, and how to start another
from it.
"""

from pathlib import Path

from stellar.config_toml import SETTINGS
from stellar.errors import UserError
from stellar.processes.exchange import on_first
from stellar.training.checkpoint import Counters, newest_before


class TrainingStopped(UserError):
    """Too many steps in a row, or the last ones of a run, were skipped for a loss or gradient that
    is not finite; its checkpoints are from before.
    """


def diverged(what: str, counters: Counters, run: Path | None) -> TrainingStopped:
    """The error that says `what` came, and what to do: the same in all processes, as the first one,
    which has the run's folder, says it.
    """
    taken = counters.step - counters.skipped_in_a_row
    whence = on_first(lambda: _whence(run, taken))
    return TrainingStopped(
        f"{what}. Start another run {whence}with another --out and a lower "
        "training.learning_rate, or with training.precision fp32"
    )


def _whence(run: Path | None, taken: int) -> str:
    """What another run can be started from. The weights after step `taken`, the last one that was
    not skipped, failed in the next; those of an earlier checkpoint are known to be good.
    """
    if run is None:
        return ""
    good = newest_before(run, taken)
    weights = "" if good is None else f" and its last good weights (--init {good})"
    return f"from its settings (--config {run / SETTINGS}){weights}, "
