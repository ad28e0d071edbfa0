"""`stellar embed`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

DESCRIPTION = """Write the tokens and maps of a folder of images to one Parquet file.

  stellar embed runs/photos photos --out photos.parquet
  python -c "import pandas; print(pandas.read_parquet('photos.parquet'))"

One row an image: path, cls, tokens (K x D), maps (K x h x w), in half precision; shapes, the
model's hash and the preprocessing are in the metadata. A call that was interrupted goes on when it
is made again."""


@dataclass(frozen=True)
class Options:
    """What to encode, with what, to where."""

    model: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="MODEL")]
    """A name (stellar-scenes; stellar-b16, -l16, -h16, -b8, -b24), a run, or a file of weights."""
    folder: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="FOLDER")]
    """Folder of images, searched recursively; or shards: a folder of .tar files, a pattern as
    data/{000..099}.tar, an address as s3://bucket/*.tar."""
    out: Path = Path("embeddings.parquet")
    """The file to write."""
    fit: Literal["crop", "squash"] = "crop"
    """crop: the largest centred square; squash: the whole picture, made square."""
    batch_size: int = 64
    """Images encoded at once."""
    num_workers: int = 2
    """Processes that read images; 0 reads in this one."""
    device: str = "auto"
    """auto, cpu or cuda."""
    revision: str | None = None
    """Branch, tag or commit of a published model."""


def run(arguments: Sequence[str]) -> int:
    options = tyro.cli(Options, args=list(arguments), prog="stellar embed", description=DESCRIPTION)
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    from stellar.embedding import embed
    from stellar.errors import UserError
    from stellar.precision import choose_device
    from stellar.weights import load

    device = choose_device(options.device)
    if options.out.suffix != ".parquet":
        raise UserError(f"the file is Parquet: end its name in .parquet, got --out {options.out}")
    model = load(options.model, device, purpose="encode", revision=options.revision)
    columns = (TextColumn("images"), MofNCompleteColumn(), BarColumn(None), TimeRemainingColumn())
    try:
        with Progress(*columns, transient=True) as bar:
            task = bar.add_task("", total=None)
            result = embed(
                model, options.folder, options.out, options.batch_size, options.num_workers,
                options.fit,
                progress=lambda done, total: bar.update(task, completed=done, total=total),
            )  # fmt: skip
    except KeyboardInterrupt:
        print("stopped; the same command goes on where it was")
        return 130
    print(f"{result.num_images} images -> {result.file}")
    if result.num_unreadable:
        print(f"{result.num_unreadable} could not be read: {result.file}.unreadable.txt")
    return 0
