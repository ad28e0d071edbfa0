"""`stellar shard`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from stellar.cli.options import options_of
from stellar.quantities import counted

DESCRIPTION = """Write a folder of images as shards: tar files in the WebDataset format.

  stellar shard photos --out shards
  stellar pretrain --data shards --out runs/photos

Files go in as they are, KEY.jpg, each with a KEY.json of its path and its folder's name. Pictures
are shuffled, and the same call always writes the same bytes. A call that was interrupted goes on
when it is made again."""


@dataclass(frozen=True)
class Options:
    """What to write, and where."""

    folder: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="FOLDER")]
    """Folder of images, searched recursively."""
    out: Path = Path("shards")
    """Folder of the shards."""
    shard_size: int = 256
    """About how many MB a shard has: large enough that a data set is some thousand files, small
    enough to copy again when it is cut off."""
    seed: int = 0
    """Of the order of the pictures."""


def run(arguments: Sequence[str]) -> int:
    options = options_of(Options, "shard", arguments, DESCRIPTION)
    from stellar.cli.terminal import going_on, progress_line
    from stellar.data.shards.writing import LEFT_OUT, write_shards

    with going_on(), progress_line() as say:
        result = write_shards(
            options.folder, options.out, options.shard_size, options.seed,
            progress=lambda done, total: say("images", done, total),
        )  # fmt: skip
    images, shards = counted(result.num_images, "image"), counted(result.num_shards, "shard")
    print(f"{images} in {shards} -> {result.folder}")
    if result.num_left_out:
        print(f"{result.num_left_out:,} could not be looked at: {result.folder / LEFT_OUT}")
    return 0
