"""The whole page, complete in itself: nothing is loaded from anywhere."""

import base64
from collections.abc import Sequence
from html import escape
from io import BytesIO
from pathlib import Path

import numpy as np
from jaxtyping import Float
from PIL import Image

from stellar.config import Fit
from stellar.images import frame
from stellar.searching.example import Example
from stellar.searching.hits import Hit, Match
from stellar.searching.places import in_words, places
from stellar.storage import write_file
from stellar.styles import style_of

SHOWN = 4
"""Matches of a hit, the strongest ones."""
DARKEST = 0.8
"""How much is taken from a patch that the token has no part in."""


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
    style = style_of("stellar.searching.page")
    query = "" if example is None else _query(example, tokens)
    found = "".join(_hit(place, hit, fit) for place, hit in enumerate(hits, 1))
    panes = max((min(SHOWN, len(hit.matches)) for hit in hits), default=1)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(asked)}</title>\n<style>\n{style}</style></head>\n<body><main>"
        f'\n<h1>What was found, and where</h1>\n<p class="lead">{escape(asked)}</p>\n'
        '<p class="note">Light patches are those that the matched token explains, each by as much '
        f"as it does; what the model did not see is dark.</p>\n{query}"
        f'<ol class="hits" style="--panes:{panes}">{found}</ol>\n</main></body></html>\n'
    )


def _query(example: Example, tokens: Sequence[int]) -> str:
    """The picture as it is, and each of its tokens on it."""
    where = places(example.maps)
    figures = [f"<figure>{_picture(example)}<figcaption><b>as it is</b></figcaption></figure>"]
    for number, (values, share) in enumerate(zip(example.maps, where.share, strict=True)):
        x, y = where.centre[number].tolist()
        lies = f"{in_words(x, y, float(where.spread[number]))}, {share:.0%}"
        shade = _map(values, f"token {number}, {lies}", _frame(example.size, example.fit))
        kind = ' class="asked"' if number in tokens else ""
        figures.append(
            f"<figure{kind}>{_picture(example, shade)}"
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
    shade = _map(match.map, f"token {match.token}, {where}", _frame(hit.size, fit))
    return (
        f"<figure>{_picture(hit, shade)}"
        f"<figcaption>token {match.token} <b>{match.cosine:.3f}</b><br>{where}"
        "</figcaption></figure>"
    )


def _picture(shown: Hit | Example, shade: str = "") -> str:
    """A picture, and what lies on it."""
    aspect = "1" if shown.size is None else f"{shown.size[0]}/{shown.size[1]}"
    if not shown.thumbnail:
        return f'<div class="picture bare" style="aspect-ratio:{aspect}">{shade}</div>'
    data = base64.b64encode(shown.thumbnail).decode("ascii")
    return (
        f'<div class="picture" style="aspect-ratio:{aspect}">'
        f'<img alt="{escape(shown.path)}" src="data:image/jpeg;base64,{data}">{shade}</div>'
    )


def _map(values: Float[np.ndarray, "h w"], caption: str, style: str) -> str:
    return (
        f'<img class="map" alt="{escape(f"map of {caption}")}" style="{style}" '
        f'src="data:image/png;base64,{_shade(values)}">'
    )


def _frame(size: tuple[int, int] | None, fit: Fit) -> str:
    """Where the map lies on a picture of this size, in per cent of it."""
    if size is None:
        return "left:0;top:0;width:100%;height:100%"
    width, height = size
    left, top, across, down = frame(size, fit)
    return (
        f"left:{100 * left / width:.3f}%;top:{100 * top / height:.3f}%;"
        f"width:{100 * across / width:.3f}%;height:{100 * down / height:.3f}%"
    )


def _shade(values: Float[np.ndarray, "h w"]) -> str:
    """A PNG of a pixel for each patch: black, the more so the less of it is the token's."""
    alpha = (255 * DARKEST * (1 - values.astype(np.float32).clip(0, 1))).round().astype(np.uint8)
    image = Image.fromarray(np.stack([np.zeros_like(alpha), alpha], axis=-1), "LA")
    buffer = BytesIO()
    image.save(buffer, format="PNG")
    return base64.b64encode(buffer.getvalue()).decode("ascii")
