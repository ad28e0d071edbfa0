"""`stellar concepts`."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from stellar.cli.options import options_of
from stellar.errors import UserError
from stellar.quantities import whole_number

if TYPE_CHECKING:
    from stellar.searching import Concepts

DESCRIPTION = """Say what is in pictures without labels: their tokens, in groups that are alike.

  stellar embed runs/photos photos --out photos.parquet
  stellar index photos.parquet --out photos.index --pictures photos
  stellar concepts photos.index --out concepts.html
  stellar concepts photos.index --count 48 --table shares.csv
  stellar concepts photos.index --name 3=boat --name "5=open sea"
  stellar search photos.index --concept boat --where left

The page shows each concept by the pictures that have most of it, with how many have it, how much of
them it explains, and where it lies. Concepts with names, and those of --keep, last: they are the
same tomorrow, and when pictures have come in."""


@dataclass(frozen=True)
class Options:
    """Of what, and how many."""

    index: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="INDEX")]
    """What stellar index made."""
    out: Annotated[Path, tyro.conf.arg(metavar="FILE")] = Path("concepts.html")
    """The page to write (.html)."""
    table: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Also what each concept explains of each picture, a row a picture (.csv or .parquet)."""
    name: Annotated[
        tuple[str, ...], tyro.conf.UseAppendAction, tyro.conf.arg(metavar="NUMBER=NAME")
    ] = ()
    """What a concept is called from now on, and keep them all; may be given several times. NUMBER=
    takes its name away."""
    keep: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Keep these concepts in the index, also without names."""
    count: int | None = None
    """Concepts to find: with more, they are finer. None: those that the index keeps, else 24."""
    examples: int = 8
    """Pictures that are shown of each."""
    seed: int | None = None
    """Of the first centres: another one groups in another way. None: those that the index keeps,
    else 0."""


def run(arguments: Sequence[str]) -> int:
    options = options_of(Options, "concepts", arguments, DESCRIPTION)
    from stellar.cli.search import check_page
    from stellar.searching import open_index
    from stellar.searching.concept_table import write_table
    from stellar.searching.page import write_overview

    check_page(options.out)
    if options.table is not None:
        _check_table(options.table)
    names = dict(map(_number_and_name, options.name))
    index = open_index(options.index)
    concepts = index.concepts(options.count, options.examples, options.seed)
    if names or options.keep:
        kept = index.keep_concepts(concepts.concepts, names)
        concepts = replace(concepts, concepts=kept.naming(concepts.concepts))
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


def _number_and_name(text: str) -> tuple[int, str]:
    number, equals, name = text.partition("=")
    if not equals or (concept := whole_number(number)) is None:
        raise UserError(f"--name is a concept's number and its name, as 3=boat, got {text[:200]}")
    return concept, name


def _as_table(concepts: "Concepts") -> str:
    """A line for each."""
    from stellar.storage import one_line

    wide = max(len(concept.name) for concept in concepts.concepts)
    called = f"{'name':<{wide}}  " if wide else ""
    lines = [f"{'concept':>7}  {called}{'pictures':>8}  {'patches':>7}  best shown by"]
    for number, concept in enumerate(concepts.concepts):
        shown = ", ".join(
            f"token {hit.matches[0].token} of {one_line(hit.path)}" for hit in concept.examples[:1]
        )
        name = f"{concept.name:<{wide}}  " if wide else ""
        lines.append(
            f"{number:>7}  {name}{concept.num_pictures:>8,}  {concept.share:>7.1%}  {shown}"
        )
    return "\n".join(lines)
