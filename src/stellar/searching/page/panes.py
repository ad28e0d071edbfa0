"""What the pages of an index are made of: the page around all, complete in itself, and pictures
with maps on them.
"""

import base64
from html import escape
from io import BytesIO

import numpy as np
from jaxtyping import Float
from PIL import Image

from stellar.config import Fit
from stellar.images import frame
from stellar.searching.example import Example
from stellar.searching.hits import Hit
from stellar.styles import style_of

DARKEST = 0.8
"""How much is taken from a patch that the token has no part in."""


def whole_page(title: str, heading: str, lead: str, note: str, body: str) -> str:
    """The page as HTML: nothing is loaded from anywhere. All but the body is text."""
    style = style_of("stellar.searching.page")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title>\n<style>\n{style}</style></head>\n<body><main>"
        f'\n<h1>{escape(heading)}</h1>\n<p class="lead">{escape(lead)}</p>\n'
        f'<p class="note">{escape(note)}</p>\n{body}\n</main></body></html>\n'
    )


def picture(shown: Hit | Example, shade: str = "") -> str:
    """A picture, and what lies on it."""
    aspect = "1" if shown.size is None else f"{shown.size[0]}/{shown.size[1]}"
    if not shown.thumbnail:
        return f'<div class="picture bare" style="aspect-ratio:{aspect}">{shade}</div>'
    data = base64.b64encode(shown.thumbnail).decode("ascii")
    return (
        f'<div class="picture" style="aspect-ratio:{aspect}">'
        f'<img alt="{escape(shown.path)}" src="data:image/jpeg;base64,{data}">{shade}</div>'
    )


def shaded(values: Float[np.ndarray, "h w"], caption: str, style: str) -> str:
    """A token's map, to lie on a picture at the place that the style says."""
    return (
        f'<img class="map" alt="{escape(f"map of {caption}")}" style="{style}" '
        f'src="{_shade(values)}">'
    )


def place_of(size: tuple[int, int] | None, fit: Fit) -> str:
    """Where the map lies on a picture of this size, in per cent of it."""
    if size is None:
        return "left:0;top:0;width:100%;height:100%"
    width, height = size
    left, top, across, down = frame(size, fit)
    return (
        f"left:{100 * left / width:.3f}%;top:{100 * top / height:.3f}%;"
        f"width:{100 * across / width:.3f}%;height:{100 * down / height:.3f}%"
    )


def png_url(values: Float[np.ndarray, "h w *c"], mode: str) -> str:
    """A picture of these values, 0 to 255."""
    buffer = BytesIO()
    Image.fromarray(values.astype(np.uint8), mode).save(buffer, format="PNG")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"


def _shade(values: Float[np.ndarray, "h w"]) -> str:
    """A pixel for each patch: black, the more so the less of it is the token's."""
    alpha = (255 * DARKEST * (1 - values.astype(np.float32).clip(0, 1))).round()
    return png_url(np.stack([np.zeros_like(alpha), alpha], axis=-1), "LA")
