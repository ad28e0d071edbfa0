"""`stellar embed`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from stellar.cli.options import options_of
from stellar.errors import UserError
from stellar.processes.launch import Ranks, own_ranks
from stellar.quantities import whole_number

if TYPE_CHECKING:
    from stellar.embedding import EmbedResult

DESCRIPTION = """Write the tokens and maps of a folder of images to one Parquet file, or to a folder
of them.

  stellar embed runs/photos photos --out photos.parquet
  python -c "import stellar; print(stellar.read_embeddings('photos.parquet'))"

One row an image: path, cls, tokens (K x D), maps (K x h x w), in half precision, size and time of
its file; shapes, the model's hash and the preprocessing are in the metadata. --tokens 4 keeps the
four tokens that explain most of each picture. A call that was interrupted goes on when it is made
again. When the folder has changed, the same call encodes what is new or was changed, and leaves out
what is gone.

Many GPUs, or many machines that share a disk, write one data set together:

  torchrun --nproc-per-node 8 -m stellar embed stellar-b16 photos --out photos-b16

A SLURM job array and Ray do so as well: docs/scale.md."""


@dataclass(frozen=True)
class Options:
    """What to encode, with what, to where."""

    model: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="MODEL")]
    """A name (stellar-scenes; stellar-b16, -l16, -h16, -b8, -b24), a run, or a file of weights."""
    folder: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="FOLDER")]
    """Folder of images, searched recursively; or shards: a folder of .tar files, a pattern as
    data/{000..099}.tar, an address as s3://bucket/*.tar."""
    out: Path = Path("embeddings.parquet")
    """The file to write (.parquet), or a folder for parts that are read as one data set."""
    fit: Literal["crop", "squash"] = "crop"
    """crop: the largest centred square; squash: the whole picture, made square."""
    tokens: int | None = None
    """Tokens of each picture to keep: those that explain most of it, the largest first; stellar
    evaluate says how quality falls. Not given: all, in their order.
    """
    batch_size: int = 64
    """Images encoded at once."""
    num_workers: int | None = None
    """Processes that read images; 0 reads in this one. Not given: what cores and device suggest."""
    part_size: int = 2048
    """Images of a part, which is what a restart repeats at most."""
    share: Annotated[str | None, tyro.conf.arg(metavar="I/N")] = None
    """This process is number I of N, counted from 0, where neither torchrun nor srun says so."""
    device: str = "auto"
    """auto, cpu or cuda."""
    revision: str | None = None
    """Branch, tag or commit of a published model."""


def run(arguments: Sequence[str]) -> int:
    options = options_of(Options, "embed", arguments, DESCRIPTION)
    from stellar.cli.terminal import progress_line
    from stellar.embedding import embed
    from stellar.load_model import load
    from stellar.precision import choose_device
    from stellar.processes.device import own_device

    ranks = own_ranks() if options.share is None else _share(options.share)
    first = ranks.rank == 0
    device = own_device(choose_device(options.device), ranks)
    try:
        str(options.out).encode()
    except UnicodeEncodeError:
        raise UserError(
            f"the name of an embedding must be UTF-8, got {str(options.out)!a}; choose "
            "another --out"
        ) from None
    if options.out.suffix not in ("", ".parquet"):
        raise UserError(
            f"the file is Parquet: end its name in .parquet, got --out {options.out}; a name "
            "without an ending is a folder of Parquet files"
        )
    model = load(options.model, device, purpose="encode", revision=options.revision)
    try:
        with progress_line(silent=not first) as say:
            result = embed(
                model, options.folder, options.out, options.batch_size, options.num_workers,
                options.fit, progress=lambda done, total: say("images", done, total),
                part_size=options.part_size, ranks=ranks, tokens=options.tokens,
            )  # fmt: skip
    except KeyboardInterrupt:
        if first:
            print("stopped; the same command goes on where it was")
        return 130
    if not first:
        return 0
    print(f"{result.num_images} images -> {result.file}{_compared(result)}")
    if result.num_unreadable:
        print(f"{result.num_unreadable} could not be read: {result.file}.unreadable.txt")
    return 0


def _compared(result: "EmbedResult") -> str:
    """What became of an embedding that was there before."""
    encoded, gone = result.num_images - result.num_kept, result.num_gone
    if not result.num_kept:
        return ""
    if not encoded and not gone:
        return ", as it was"
    left_out = f", {gone} of before gone" if gone else ""
    return f" ({encoded} new or changed, {result.num_kept} as they were{left_out})"


def _share(text: str) -> Ranks:
    first, _, second = text.partition("/")
    number, count = whole_number(first), whole_number(second)
    if number is None or count is None or number >= count:
        raise UserError(
            f"a share is I/N, for number I of N processes counted from 0, as 0/8, got {text[:200]}"
        )
    return Ranks(number, count)
