"""`stellar index`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from stellar.cli.options import options_of

DESCRIPTION = """Make an embedding searchable: an index of its tokens, of what they are and where.

  stellar embed runs/photos photos --out photos.parquet
  stellar index photos.parquet --out photos.index --pictures photos
  stellar search photos.index --like photo.jpg --token 3 --where left

A call that was interrupted goes on when it is made again. When the embedding has changed, the same
call makes the index hold what it holds now: pictures are added, replaced and forgotten. With --add
they come beside those that the index has, as where each day's pictures are embedded on their own.
With --pictures a call also adds the sizes and thumbnails that are missing. It needs LanceDB: pip
install 'stellar-vision[search]'."""


@dataclass(frozen=True)
class Options:
    """What to index, and where."""

    embedding: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="EMBEDDING")]
    """What stellar embed wrote: a .parquet file, or a folder of them."""
    out: Path
    """The folder of the index, such as photos.index."""
    pictures: Annotated[str | None, tyro.conf.arg(metavar="FOLDER")] = None
    """The folder or shards that were embedded: the index then knows sizes, and has thumbnails."""
    words: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """What stellar align wrote: the index is then searched by words, too."""
    add: bool = False
    """Keep what the index has: the embedding's pictures come beside it."""
    exact_up_to: int = 20_000
    """Pictures up to which a search looks at every token; above, an approximate index is made."""


def run(arguments: Sequence[str]) -> int:
    options = options_of(Options, "index", arguments, DESCRIPTION)
    from stellar.cli.terminal import going_on, progress_line
    from stellar.searching import build_index

    with going_on(), progress_line() as show:
        result = build_index(
            options.embedding, options.out, options.pictures, options.exact_up_to, options.words,
            options.add, progress=lambda done, total: show("pictures", done, total),
        )  # fmt: skip
    kind = "approximate; exact with --exact" if result.approximate else "exact"
    replaced = f", {result.num_replaced} replaced" if result.num_replaced else ""
    removed = f", {result.num_removed} removed" if result.num_removed else ""
    print(
        f"{result.num_pictures} pictures, {result.num_added} of them new{replaced}{removed} -> "
        f"{result.folder} (search: {kind})"
    )
    if result.num_filled_in:
        print(f"{result.num_filled_in} from before had no size and no thumbnail, and have them now")
    if result.words_replaced:
        print("it knew other words before; they were replaced")
    if result.num_without_thumbnail:
        print(
            f"{result.num_without_thumbnail} have no thumbnail: in {options.pictures} they are "
            "missing, broken, or of other channels than RGB or grey"
        )
    return 0
