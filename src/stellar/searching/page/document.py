"""The page of a search: what was asked with, and what was found."""

from collections.abc import Sequence
from html import escape
from pathlib import Path

from stellar.config import Fit
from stellar.searching.example import Example
from stellar.searching.hits import Hit, Match
from stellar.searching.page.panes import picture, place_of, shaded, whole_page
from stellar.searching.places import in_words, places
from stellar.storage import write_file

SHOWN = 4
"""Matches of a hit, the strongest ones."""


def write_page(
    path: Path,
    asked: str,
    hits: Sequence[Hit],
    fit: Fit,
    example: Example | None = None,
    tokens: Sequence[int] = (),
) -> None:
    """Write the page; the file appears whole or not at all. Raises NotWritten."""
    write_file(path, render_page(asked, hits, fit, example, tokens))


def render_page(
    asked: str,
    hits: Sequence[Hit],
    fit: Fit,
    example: Example | None = None,
    tokens: Sequence[int] = (),
) -> str:
    """The page as HTML: what was asked for, in words, and what was found; `fit` is the index's.
    With an `example`, the picture that was asked with, also that and all of its tokens, those that
    were asked for marked, so that the next question can name another.
    """
    query = "" if example is None else _query(example, tokens)
    found = "".join(_hit(place, hit, fit) for place, hit in enumerate(hits, 1))
    panes = max((min(SHOWN, len(hit.matches)) for hit in hits), default=1)
    note = (
        "Light patches are those that the matched token explains, each by as much as it does; what "
        "the model did not see is dark."
    )
    body = f'{query}<ol class="hits" style="--panes:{panes}">{found}</ol>'
    return whole_page(asked, "What was found, and where", asked, note, body)


def _query(example: Example, tokens: Sequence[int]) -> str:
    """The picture as it is, and each of its tokens on it."""
    where = places(example.maps)
    as_it_is = f"<figure>{picture(example)}<figcaption><b>as it is</b></figcaption></figure>"
    figures = [as_it_is] if example.thumbnail else []
    for number, (values, share) in enumerate(zip(example.maps, where.share, strict=True)):
        x, y = where.centre[number].tolist()
        lies = f"{in_words(x, y, float(where.spread[number]))}, {share:.0%}"
        shade = shaded(values, f"token {number}, {lies}", place_of(example.size, example.fit))
        kind = ' class="asked"' if number in tokens else ""
        figures.append(
            f"<figure{kind}>{picture(example, shade)}"
            f"<figcaption><b>token {number}</b><br>{lies}</figcaption></figure>"
        )
    return (
        f'<section class="card query"><h2><span class="name">{escape(example.path)}</span></h2>'
        f'<div class="panes">{"".join(figures)}</div></section>\n'
    )


def _hit(place: int, hit: Hit, fit: Fit) -> str:
    shown = hit.strongest(SHOWN)
    left = len(hit.matches) - len(shown)
    more = f'<p class="note">and {left} more tokens</p>' if left else ""
    panes = "".join(_pane(hit, match, fit) for match in shown)
    return (
        f'\n<li class="card"><h2><span class="place">{place}</span>'
        f'<span class="name">{escape(hit.path)}</span>'
        f'<span class="score">{hit.score:z.3f}</span></h2>'
        f'<div class="panes">{panes}</div>{more}</li>'
    )


def _pane(hit: Hit, match: Match, fit: Fit) -> str:
    where = f"{match.place}, {match.share:.0%} of the picture"
    shade = shaded(match.map, f"token {match.token}, {where}", place_of(hit.size, fit))
    return (
        f"<figure>{picture(hit, shade)}"
        f"<figcaption>token {match.token} <b>{match.cosine:.3f}</b><br>{where}"
        "</figcaption></figure>"
    )
