"""Settings of a training step that are off until a GPU has shown that they pay: each against the
same step without it.

    python benchmarks/settings.py --compile      fill torch's cache, and time nothing
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from table import Row, print_rows
from training_step import DAY, OURS, TOY, Measured, changed_rows, measure_settings

Settings = dict[str, Any]
"""Of `training`."""
LARGE: Settings = {"codes": "fast", "residual": "bf16", "attention": "cudnn"}
"""Those for any batch."""
SMALL: Settings = {"pack_views": True}
"""Those for small ones."""


LONGER: Settings = {"views_at_once": 1024}
"""All eight masked and all eight local views of 128 images in one call each, where it takes two."""


def ways(large: int, small: int) -> Iterator[tuple[int, Settings]]:
    """Each setting by itself at the batch that it is for; then all that are for this batch."""
    for name, value in LARGE.items():
        yield large, {name: value}
    yield large, LARGE
    yield small, SMALL
    yield small, LARGE | SMALL
    yield large, LONGER


def in_words(settings: Settings) -> str:
    return ", ".join(
        name if value is True else f"{name} {value}" for name, value in settings.items()
    )


def rows(toy: bool = False) -> Iterator[Row]:
    """Speed and memory; on a CPU, in eager mode and without a graph."""
    sizes = TOY if toy else DAY
    plain = {
        batch: measure_settings(OURS, sizes.preset, batch, sizes.steps) for batch in sizes.batches
    }
    for batch, settings in ways(*sizes.batches):
        ours = measure_settings(OURS | settings, sizes.preset, batch, sizes.steps)
        found, words = {"ours": ours, "plain": plain[batch]}, in_words(settings)
        yield from changed_rows(sizes.called(batch), batch, found, {words: ("ours", "plain")})


def fill_cache(toy: bool) -> None:
    """One step in every way, which compiles it."""
    sizes = TOY if toy else DAY
    plain: list[tuple[int, Settings]] = [(batch, {}) for batch in sizes.batches]
    for batch, settings in (*plain, *ways(*sizes.batches)):
        seconds = Measured(OURS | settings, sizes.preset, batch).seconds()
        print(f"batch {batch}, {in_words(settings) or 'as it is'}: {seconds:.1f} s", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--compile", action="store_true", help="one step in every way, no more")
    parser.add_argument("--toy", action="store_true", help="at the sizes of a rehearsal")
    options = parser.parse_args()
    if options.compile:
        fill_cache(options.toy)
    else:
        print_rows("Settings of a training step", rows(options.toy))
