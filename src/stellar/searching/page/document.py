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
from stellar.searching.hits import Hit, Match
from stellar.storage import write_file
from stellar.styles import style_of

SHOWN = 4
"""Matches of a hit, the strongest ones."""
DARKEST = 0.8
"""How much is taken from a patch that the token has no part in."""


def write_page(path: Path, asked: str, hits: Sequence[Hit], fit: Fit) -> None:
    """Write the page; the file appears whole or not at all. Raises NotWritten."""
    write_file(path, render_page(asked, hits, fit))


def render_page(asked: str, hits: Sequence[Hit], fit: Fit) -> str:
    """The page as HTML: what was asked for, in words, and what was found; `fit` is the index's."""
    style = style_of("stellar.searching.page")
    found = "".join(_hit(place, hit, fit) for place, hit in enumerate(hits, 1))
    panes = max((min(SHOWN, len(hit.matches)) for hit in hits), default=1)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(asked)}</title>\n<style>\n{style}</style></head>\n<body><main>"
        f'\n<h1>What was found, and where</h1>\n<p class="lead">{escape(asked)}</p>\n'
        '<p class="note">Light patches are those that the matched token explains, each by as much '
        "as it does; what the model did not see is dark.</p>\n"
        f'<ol class="hits" style="--panes:{panes}">{found}</ol>\n</main></body></html>\n'
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
    caption = f"token {match.token}, {where}"
    kind = "picture" if hit.thumbnail else "picture bare"
    return (
        f'<figure><div class="{kind}" style="aspect-ratio:{_aspect(hit)}">{_picture(hit)}'
        f'<img class="map" alt="{escape(f"map of {caption}")}" style="{_frame(hit, fit)}" '
        f'src="data:image/png;base64,{_shade(match.map)}"></div>'
        f"<figcaption>token {match.token} <b>{match.cosine:.3f}</b><br>{where}"
        "</figcaption></figure>"
    )


def _picture(hit: Hit) -> str:
    if not hit.thumbnail:
        return ""
    data = base64.b64encode(hit.thumbnail).decode("ascii")
    return f'<img alt="{escape(hit.path)}" src="data:image/jpeg;base64,{data}">'


def _aspect(hit: Hit) -> str:
    return "1" if hit.size is None else f"{hit.size[0]}/{hit.size[1]}"


def _frame(hit: Hit, fit: Fit) -> str:
    """Where the map lies on the picture, in per cent of it."""
    if hit.size is None:
        return "left:0;top:0;width:100%;height:100%"
    width, height = hit.size
    left, top, across, down = frame(hit.size, fit)
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
