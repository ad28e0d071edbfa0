"""The page of the concepts of an index: what is in its pictures, how often, and where."""

import shlex
from html import escape
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from stellar.config import Fit
from stellar.searching.concepts import Concept, Concepts
from stellar.searching.hits import Hit
from stellar.searching.page.panes import picture, place_of, png_url, shaded, whole_page
from stellar.storage import write_file


def write_overview(path: Path, index: str, concepts: Concepts, fit: Fit) -> None:
    """Write the page; the file appears whole or not at all. Raises NotWritten."""
    write_file(path, render_overview(index, concepts, fit))


def render_overview(index: str, concepts: Concepts, fit: Fit) -> str:
    """The page as HTML: of each concept how many pictures have it, what it explains of them, where
    it lies in the mean, and the pictures that show it best; `index` is the index's name and `fit`
    its own.
    """
    count = len(concepts.shares)
    cards = [
        _card(number, concept, count, index, fit, concepts.kept)
        for number, concept in enumerate(concepts.concepts)
    ]
    lead = f"{len(cards)} concepts in {count:,} pictures of {index}"
    note = (
        "A concept is a group of tokens that are alike. Light patches are those that the token "
        "explains, each by as much as it does. The square shows where the concept lies in the "
        "mean of its pictures."
    )
    body = f'<ol class="concepts">{"".join(cards)}</ol>'
    return whole_page(lead, "What is in the pictures", lead, note, body)


def _card(number: int, concept: Concept, count: int, index: str, fit: Fit, kept: bool) -> str:
    examples = "".join(_example(hit, fit) for hit in concept.examples)
    name = f"<b>{escape(concept.name)}</b>: " if concept.name else ""
    said = f"in {concept.num_pictures:,} of {count:,} pictures, {concept.share:.1%} of all patches"
    again, called = "", concept.name or f"concept {number}"
    if kept or concept.examples:
        asked = [f"--concept={concept.name or number}"] if kept else _asked(concept.examples[0])
        line = escape(shlex.join(["stellar", "search", index, *asked]))
        again = f'<p class="again"><code>{line}</code></p>'
    return (
        f'\n<li class="card"><h2><span class="place">{number}</span>'
        f'<span class="name">{name}{said}</span></h2><div class="panes">'
        f'<figure class="where"><img alt="where {escape(called)} lies" '
        f'src="{_heat(concept.where)}">'
        f"<figcaption>where</figcaption></figure>{examples}</div>{again}</li>"
    )


def _asked(example: Hit) -> list[str]:
    """How more like it is searched for."""
    return [f"--like={example.path}", f"--token={example.matches[0].token}"]


def _example(hit: Hit, fit: Fit) -> str:
    (match,) = hit.matches
    caption = f"token {match.token} of {hit.path}, {match.place}"
    shade = shaded(match.map, caption, place_of(hit.size, fit))
    return f'<figure title="{escape(caption)}">{picture(hit, shade)}</figure>'


def _heat(where: Float32[np.ndarray, "h w"]) -> str:
    """A picture of a pixel for each patch: the more, the darker, up to the largest."""
    return png_url(np.round(255 * (1 - 0.9 * where / max(float(where.max()), 1e-9))), "L")
