"""`stellar demo`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from stellar.cli.options import options_of

DESCRIPTION = """Train on embedded scenes in minutes, and write a report of what was learned.

  stellar demo
  stellar demo --steps 100 --out quick

No download, no GPU. The report compares the model with itself untrained, and with stellar-scenes,
which comes with the package and was trained longer: what their tokens S and maps L know of objects
that they have never seen, and how well they draw them. Called again after an interruption, it goes
on."""


@dataclass(frozen=True)
class Options:
    """How long, and where to."""

    out: Path = Path("demo")
    """Folder for the run, the report and a picture."""
    steps: int | None = None
    """Training steps; by default what takes a minute or three on two cores."""
    scenes: int = 1000
    """Scenes that the probes learn from, and as many that they are tried on."""


def run(arguments: Sequence[str]) -> int:
    options = options_of(Options, "demo", arguments, DESCRIPTION)
    from stellar.cli.terminal import console
    from stellar.config import check_count
    from stellar.demo import demo
    from stellar.presets import demo as preset

    check_count(options.scenes, "--scenes")
    config = preset() if options.steps is None else preset().with_steps(options.steps)
    result = demo(options.out, config, options.scenes, console())
    print(f"report   {result.report}\npicture  {options.out / 'scenes.png'}")
    print(f"try      stellar reconstruct {options.out / 'run'} scenes --out sheet.png")
    return 0
