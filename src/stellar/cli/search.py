"""`stellar search`."""

import json
import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import tyro

from stellar.cli.options import options_of
from stellar.errors import UserError
from stellar.quantities import whole_number

if TYPE_CHECKING:
    from stellar.searching import Example, Hit, Index, Unwanted
    from stellar.searching.originals import Originals

    Shown = TypeVar("Shown", Hit, Example)

logger = logging.getLogger(__name__)

DESCRIPTION = """Find pictures by what is in them, and where it is.

  stellar search photos.index --like photo.jpg                            the whole picture
  stellar search photos.index --like photo.jpg --token 3 --where left     one thing, at a place
  stellar search photos.index --like photo.jpg --at 120,80 --without other.jpg:5
  stellar search photos.index --like new.jpg --model runs/photos --out hits.html
  stellar search photos.index "a red boat" --where right                  words (stellar align)
  stellar search photos.index --concept boat --without sky                named (stellar concepts)

stellar index makes an index."""


IN_JSON = ("token", "cosine", "centre", "spread", "box", "share")
"""Of a match: all but its map."""


@dataclass(frozen=True)
class Options:
    """Where to search, for what."""

    index: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="INDEX")]
    """What stellar index made."""
    texts: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="TEXT")] = ()
    """What to look for, in words; with several, all have to be found. The index needs words:
    stellar align."""
    like: Annotated[str | None, tyro.conf.arg(metavar="PATH")] = None
    """A picture of the index, by its path there; with --model, a file."""
    token: Annotated[tuple[int, ...], tyro.conf.UseAppendAction] = ()
    """A token of that picture; given several times, all have to be found. None: all of its tokens,
    set against set."""
    at: Annotated[str | None, tyro.conf.arg(metavar="X,Y")] = None
    """The token that explains this pixel of that picture. With --token, both have to be found."""
    concept: Annotated[
        tuple[str, ...], tyro.conf.UseAppendAction, tyro.conf.arg(metavar="NAME")
    ] = ()
    """A concept that stellar concepts --name or --keep put into the index, by name or number, as
    --token."""
    without: Annotated[
        tuple[str, ...], tyro.conf.UseAppendAction, tyro.conf.arg(metavar="PATH:TOKEN")
    ] = ()
    """A token of a picture of the index, or a concept, that is not wanted."""
    where: Annotated[str | None, tyro.conf.arg(metavar="PLACE")] = None
    """Where it has to lie: left, right, top, bottom, upper-left, upper-right, lower-left,
    lower-right, middle, or a box x0,y0,x1,y1 in [0, 1]."""
    count: int = 10
    """Pictures to find."""
    exact: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Look at every token, also where the index is approximate."""
    model: str | None = None
    """The model of the index, to search by a file that is not in it."""
    json: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Print JSON."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Write a page (.html) with the pictures, and the maps of what matched on them."""
    pictures: Annotated[str | None, tyro.conf.arg(metavar="FOLDER")] = None
    """The folder or shards that were embedded: the page then has larger pictures than the
    index's."""
    words: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """What stellar align wrote, for texts; by default, what the index was made with."""
    device: str = "auto"
    """Of the model: auto, cpu or cuda."""


def run(arguments: Sequence[str]) -> int:
    options = options_of(Options, "search", arguments, DESCRIPTION)
    _check_what_is_asked(options)
    if options.out is not None:
        check_page(options.out)
    elif options.pictures is not None:
        raise UserError("--pictures is for the page; name it with --out FILE.html")
    from stellar.searching import open_index
    from stellar.searching.originals import open_originals
    from stellar.searching.page import write_page

    originals = None if options.pictures is None else open_originals(options.pictures)
    index = open_index(options.index)
    without = [_unwanted(text) for text in options.without]
    if whole := next((each for each in without if each in index.rows.numbers), None):
        raise UserError(f"--without {whole} lacks a token; name one of it, as {whole}:3")
    example, tokens = _asked_with(index, options)
    if options.texts:
        hits = _by_words(index, options, without)
    else:
        hits = index.search(
            example, tokens, None, without, options.where, options.count,
            exact=options.exact, concept=options.concept,
        )  # fmt: skip
    whole = example is not None and not tokens
    print(_as_json(hits) if options.json else _as_table(hits, whole))
    if options.out is not None:
        if originals is not None:
            _say_missing(hits, originals, options.pictures)
            hits = _with_pictures(hits, originals)
            if example is not None and example.in_index:
                (example,) = _with_pictures([example], originals)
        said, fit = _in_words(options, tokens), index.contents.model["fit"]
        write_page(options.out, said, hits, fit, example, tokens)
        if not options.json:
            print(f"-> {options.out}")
    return 0


def _asked_with(index: "Index", options: Options) -> "tuple[Example | None, list[int]]":
    """The picture to search by, where it is not words, and its tokens that are wanted."""
    from stellar.load_model import load
    from stellar.precision import choose_device
    from stellar.searching.example import token_at

    if options.like is None:
        return None, []
    model = None
    if options.model is not None:
        model = load(options.model, choose_device(options.device), purpose="encode")
    example = index.example(options.like, model)
    at = [] if options.at is None else [token_at(example, _pixel(options.at))]
    return example, [*options.token, *at]


def _by_words(index: "Index", options: Options, without: "Sequence[Unwanted]") -> "list[Hit]":
    from stellar.cli.terminal import is_quiet
    from stellar.cli.towers import texts_of
    from stellar.searching import read_words

    words = index.words if options.words is None else read_words(options.words)
    if words is None:
        named = "".join(f"; --concept finds {text}" for text in _concepts_of(index, options.texts))
        raise UserError(
            f"{options.index} knows no words; learn some with stellar align, and give them with "
            f"--words, here or to stellar index{named}"
        )
    loose = len(options.texts) > 1 and not any(" " in text for text in options.texts)
    if loose and not options.json and not is_quiet():
        each = " and ".join(repr(text) for text in options.texts)
        print(f"pictures with {each}; quote words that belong together", file=sys.stderr)
    texts = texts_of(words, options.device)(options.texts)
    return index.search_words(texts, words, without, options.where, options.count, options.exact)


def _concepts_of(index: "Index", texts: Sequence[str]) -> list[str]:
    """Which of some texts are what concepts are called."""
    kept = index.kept_concepts
    return [text for text in texts if kept is not None and kept.has_named(text)]


def _check_what_is_asked(options: Options) -> None:
    if options.like is None and not options.texts and not options.concept:
        if options.without:
            raise UserError(
                "--without says what is not wanted; say what is, with --like PATH, --concept or in "
                "words"
            )
        raise UserError("search needs a picture to go by, --like PATH, a concept, or words")
    if not all(text.strip() for text in options.texts):
        raise UserError("a text to search by says something, got an empty one; name what to find")
    if options.like is not None and options.texts:
        raise UserError(
            f"search goes by a picture or by words, got --like {options.like} and the words "
            f"{options.texts[0]!r}; leave one of them out"
        )
    pointed = options.token or options.at is not None
    if options.like is None and (pointed or options.model is not None):
        other = "words" if options.texts else "concepts"
        raise UserError(f"--token, --at and --model are for --like PATH, not for {other}")
    if options.texts and options.concept:
        raise UserError(
            f"search goes by concepts or by words, got --concept {options.concept[0]} and the "
            f"words {options.texts[0]!r}; leave one of them out"
        )
    if options.like is not None and options.concept and not pointed:
        raise UserError(
            "--concept is found beside tokens, not beside a whole picture; choose one of "
            f"{options.like} with --token or --at, or leave --like out"
        )
    if not options.texts and options.words is not None:
        raise UserError("--words is for a search by words, not for --like PATH or --concept")


def check_page(out: Path) -> None:
    """Raises UserError for a page that cannot be written."""
    if out.suffix != ".html":
        raise UserError(f"the page is HTML: end its name in .html, got --out {out}")
    check_folder(out, "--out")


def check_folder(file: Path, option: str) -> None:
    """Raises UserError for a file whose folder is not there."""
    if not file.parent.is_dir():
        raise UserError(
            f"the folder {file.parent} does not exist; create it, or choose another {option}"
        )


def _pixel(text: str) -> tuple[float, float]:
    try:
        x, y = map(float, text.split(","))
        return x, y
    except ValueError:
        raise UserError(f"--at is a pixel x,y, as 120,80, got {text}") from None


def _unwanted(text: str) -> "Unwanted":
    """A picture and a token of it, or a concept, whose name has no colon."""
    path, colon, number = text.rpartition(":")
    token = whole_number(number)
    if colon and (not path or token is None):
        raise UserError(
            f"--without is a concept, or a picture and a token, as photo.jpg:3, got {text[:200]}"
        )
    return (path, token) if colon and token is not None else text


def _as_table(hits: "list[Hit]", whole: bool) -> str:
    """A line for each; where it was asked with the `whole` picture, no place says why."""
    from stellar.storage import one_line

    if whole:
        lines = [f"{hit.score:z6.3f}  {one_line(hit.path)}" for hit in hits]
        return "\n".join([" score  path", *lines])
    lines = [f"{'score':>6}  {'tokens':<9} {'where':<24} path"]
    for hit in hits:
        tokens = [str(match.token) for match in hit.matches]
        shown = ",".join(tokens) if len(tokens) <= 3 else f"{len(tokens)} tokens"
        lines.append(f"{hit.score:z6.3f}  {shown:<9} {_where(hit):<24} {one_line(hit.path)}")
    return "\n".join(lines)


def _where(hit: "Hit") -> str:
    """Of the strongest match; with its centre, where that says something."""
    from stellar.searching.places import WIDE

    (strongest,) = hit.strongest(1)
    x, y = strongest.centre
    return strongest.place + ("" if strongest.spread > WIDE else f" ({x:.2f}, {y:.2f})")


def _as_json(hits: "list[Hit]") -> str:
    found = [
        {
            "score": hit.score,
            "path": hit.path,
            "size": hit.size,
            "matches": [{name: getattr(match, name) for name in IN_JSON} for match in hit.matches],
        }
        for hit in hits
    ]
    return json.dumps(found, indent=2)


def _with_pictures(shown: "list[Shown]", originals: "Originals") -> "list[Shown]":
    """With the pictures themselves, where they are there, in place of the index's."""
    from stellar.searching.thumbnails import LARGE, thumbnails

    read = thumbnails(originals, [each.path for each in shown], LARGE)
    return [
        replace(each, thumbnail=small.jpeg, size=(small.width, small.height))
        if small.jpeg
        else each
        for each, small in zip(shown, read, strict=True)
    ]


def _say_missing(hits: "Sequence[Hit]", originals: "Originals", folder: str | None) -> None:
    from stellar.storage import one_line

    missing = [one_line(hit.path) for hit in hits if hit.path not in originals]
    if missing:
        logger.warning(
            "%d of the %d pictures that were found are not in %s (%s%s); the page shows the "
            "index's small ones",
            len(missing), len(hits), folder, missing[0], ", ..." if missing[1:] else "",
        )  # fmt: skip


def _in_words(options: Options, tokens: Sequence[int]) -> str:
    """What was asked for; the token at a pixel is the last one."""
    numbered = [f"token {number}" for number in tokens]
    if options.at is not None:
        numbered[-1] += f", the one at {options.at},"
    what = [*options.texts, *map(_concept, options.concept)]
    if options.like is not None:
        what.insert(0, f"{' and '.join(numbered)} of {options.like}" if numbered else options.like)
    where = "" if options.where is None else f", at {options.where}"
    without = "".join(f", without {_said(_unwanted(text))}" for text in options.without)
    return f"Most like {' and '.join(what)}{where}{without}"


def _said(unwanted: "Unwanted") -> str:
    if isinstance(unwanted, tuple):
        path, number = unwanted
        return f"token {number} of {path}"
    return _concept(str(unwanted))


def _concept(given: str) -> str:
    """A name says itself."""
    return given if whole_number(given) is None else f"concept {given}"
