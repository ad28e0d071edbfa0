"""`stellar concepts`."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from stellar.cli.options import options_of
from stellar.errors import UserError

if TYPE_CHECKING:
    from stellar.searching import Concepts, KeptConcepts

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
    """Give a concept a name, or with NUMBER= none any more, and keep all of them in the index; may
    be given several times. OLD=NEW renames. A name is up to 60 letters, also blanks; no colon."""
    keep: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Keep these concepts in the index, also without names: searches then know their numbers."""
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
    from stellar.cli.terminal import is_quiet
    from stellar.searching import open_index
    from stellar.searching.concept_table import write_table
    from stellar.searching.page import write_overview

    check_page(options.out)
    if options.table is not None:
        _check_table(options.table)
    names = _names(options.name)
    index = open_index(options.index)
    concepts = index.concepts(options.count, options.examples, options.seed)
    before = None if concepts.kept else index.kept_concepts
    same = before is not None and before.are_around(concepts.centres)
    if names or options.keep:
        concepts = index.keep_concepts(concepts, names).naming(concepts)
    elif before is not None and same:
        concepts = before.naming(concepts)
    if before is not None and not same and not is_quiet():
        _say_others(before, concepts, options.index)
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


def _names(given: Sequence[str]) -> dict[str, str]:
    """By numbers, or by the names until now."""
    names: dict[str, str] = {}
    for text in given:
        concept, equals, name = text.partition("=")
        concept = concept.strip()
        if not equals or not concept:
            raise UserError(
                f"--name is a concept's number and its name, as 3=boat, got {text[:200]}"
            )
        if concept in names:
            raise UserError(f"--name calls {concept} both {names[concept]} and {name}; give it one")
        names[concept] = name
    return names


def _say_others(before: "KeptConcepts", now: "Concepts", index: Path) -> None:
    """Which concepts these are, where the index kept others."""
    if now.kept:
        print(f"{index} kept {len(before.names)} others before, without names", file=sys.stderr)
    else:
        print(
            f"these are not the concepts that {index} keeps, which come without --count and --seed",
            file=sys.stderr,
        )


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
