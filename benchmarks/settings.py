"""Settings of a training step that are off until a GPU has shown that they pay: one added to the
other, against the same step without the last.

    python benchmarks/settings.py --compile large      fill torch's cache, and time nothing
"""

import argparse
import gc
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from table import Row, print_rows
from training_step import FULL, OURS, TOY, Measured, changed_rows, measure_settings

Settings = dict[str, Any]
"""Of `training`."""
CODES: Settings = {"codes": "fast"}
NARROW: Settings = CODES | {"residual": "bf16"}
LARGE: Settings = NARROW | {"attention": "cudnn"}
"""Those for any batch."""
SMALL: Settings = {"pack_views": True}
"""Those for small ones."""
COMPARED: dict[str, tuple[tuple[Settings, Settings], ...]] = {
    "large": ((LARGE, {}), (CODES, {}), (NARROW, CODES), (LARGE, NARROW)),
    "small": ((SMALL, {}), (LARGE | SMALL, SMALL)),
}
"""With, and without; at each batch, by worth."""
WAYS: dict[str, tuple[Settings, ...]] = {
    "large": ({}, LARGE, CODES, NARROW),
    "small": ({}, SMALL, LARGE | SMALL),
}
"""All that is compared, in the order in which it is measured."""


def in_words(settings: Settings) -> str:
    """As in a run.toml."""
    words = (name if value is True else f"{name} {value}" for name, value in settings.items())
    return ", ".join(words) or "none of them"


def rows(toy: bool = False) -> Iterator[Row]:
    """Speed and memory, as soon as both sides are there; on a CPU, in eager mode and without a
    graph.
    """
    sizes = TOY if toy else FULL
    for which, batch in zip(WAYS, sizes.batches, strict=True):
        found: dict[str, dict[str, float]] = {}
        left = [(in_words(on), in_words(off)) for on, off in COMPARED[which]]
        for way in WAYS[which]:
            found[in_words(way)] = measure_settings(OURS | way, sizes.preset, batch, sizes.steps)
            ready = [pair for pair in left if found.keys() >= {*pair}]
            left = [pair for pair in left if pair not in ready]
            changes = {f"{on}, against {off}": (on, off) for on, off in ready}
            yield from changed_rows(sizes.called(batch), batch, found, changes)


def fill_cache(which: str, toy: bool) -> None:
    """One step in every way at this batch, which compiles it."""
    sizes = TOY if toy else FULL
    batch = dict(zip(WAYS, sizes.batches, strict=True))[which]
    for way in WAYS[which]:
        gc.collect()  # the model before, whose compiled methods refer to it
        seconds = Measured(OURS | way, sizes.preset, batch).seconds()
        print(f"batch {batch}, {in_words(way)}: first step {seconds:.1f} s", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--compile", choices=WAYS, help="one step in every way, no more")
    parser.add_argument("--toy", action="store_true", help="at the sizes of a rehearsal")
    options = parser.parse_args()
    if options.compile:
        fill_cache(options.compile, options.toy)
    else:
        print_rows("Settings of a training step", rows(options.toy))
