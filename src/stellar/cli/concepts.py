"""`stellar concepts`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from stellar.cli.options import options_of
from stellar.errors import UserError

if TYPE_CHECKING:
    from stellar.searching import Concepts

DESCRIPTION = """Say what is in pictures without labels: their tokens, in groups that are alike.

  stellar embed runs/photos photos --out photos.parquet
  stellar index photos.parquet --out photos.index --pictures photos
  stellar concepts photos.index --out concepts.html
  stellar concepts photos.index --count 48 --table shares.csv

The page shows each concept by the pictures that have most of it, with how many have it, how much of
them it explains, and where it lies."""


@dataclass(frozen=True)
class Options:
    """Of what, and how many."""

    index: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="INDEX")]
    """What stellar index made."""
    out: Annotated[Path, tyro.conf.arg(metavar="FILE")] = Path("concepts.html")
    """The page to write (.html)."""
    table: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Also what each concept explains of each picture, a row a picture (.csv or .parquet)."""
    count: int = 24
    """Concepts: with more, they are finer."""
    examples: int = 8
    """Pictures that are shown of each."""
    seed: int = 0
    """Of the first centres: another one groups in another way."""


def run(arguments: Sequence[str]) -> int:
    options = options_of(Options, "concepts", arguments, DESCRIPTION)
    from stellar.cli.search import check_page
    from stellar.searching import open_index
    from stellar.searching.concept_table import write_table
    from stellar.searching.page import write_overview

    check_page(options.out)
    if options.table is not None:
        _check_table(options.table)
    index = open_index(options.index)
    concepts = index.concepts(options.count, options.examples, options.seed)
    print(_as_table(concepts))
    write_overview(options.out, str(options.index), concepts, index.contents.model["fit"])
    print(f"-> {options.out}")
    if options.table is not None:
        write_table(options.table, index.paths, concepts)
        print(f"-> {options.table}")
    return 0


def _check_table(table: Path) -> None:
    """Raises UserError for a table that cannot be written."""
    from stellar.cli.search import check_folder
    from stellar.searching.concept_table import WRITERS

    if table.suffix not in WRITERS:
        raise UserError(
            f"the table is CSV or Parquet: end its name in .csv or .parquet, got --table {table}"
        )
    check_folder(table, "--table")


def _as_table(concepts: "Concepts") -> str:
    """A line for each."""
    from stellar.storage import one_line

    lines = [f"{'concept':>7}  {'pictures':>8}  {'patches':>7}  best shown by"]
    for number, concept in enumerate(concepts.concepts):
        shown = ", ".join(
            f"token {hit.matches[0].token} of {one_line(hit.path)}" for hit in concept.examples[:1]
        )
        lines.append(f"{number:>7}  {concept.num_pictures:>8,}  {concept.share:>7.1%}  {shown}")
    return "\n".join(lines)
