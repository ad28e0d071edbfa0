"""What a run says of its speed."""

from io import StringIO

import pytest
from rich.console import Console

from stellar.training.progress import TrainingProgress


@pytest.mark.parametrize(
    ("seconds", "said"), [(5.4, "0.37 images/s"), (0.5, "4 images/s"), (0.004, "500 images/s")]
)
def test_slow_is_not_none_at_all(
    monkeypatch: pytest.MonkeyPatch, seconds: float, said: str
) -> None:
    clock = iter((1.0, 1.0 + seconds))
    monkeypatch.setattr("stellar.training.progress.time.monotonic", lambda: next(clock))
    shown = StringIO()
    console = Console(file=shown, width=100, force_terminal=False)
    progress = TrainingProgress(console, start=0, total=1, batch_size=2)
    progress.advance(1, loss=2.0)
    assert f" {said} " in shown.getvalue()
