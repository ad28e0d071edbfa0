"""What the page is told: pictures as PNG or JPEG, maps as numbers, the rest in JSON."""

import base64
from io import BytesIO
from math import isfinite
from typing import Any

import numpy as np
from jaxtyping import Float
from PIL import Image

from stellar.exploring.finder import Finder
from stellar.exploring.workbench import Look
from stellar.images import Pixels, frame, to_pillow
from stellar.pictures.colours import token_colours
from stellar.searching import Hit
from stellar.searching.places import Places, in_words

LONGEST = 1024
"""Pixels of the longer side of a picture that is shown, at most."""
SMALL = 512
"""Pixels of the longer side up to which a picture is sent without loss."""
MOST_CHOSEN = 3
"""Tokens that are chosen when a hit is opened; of more that matched, none."""


def of_the_page(finder: Finder) -> dict[str, Any]:
    """What stays while the page is open."""
    workbench = finder.workbench
    most = max(each.model.config.num_sparse_tokens for each in workbench.models)
    return {
        "models": [
            {
                "name": each.name,
                "patch": each.model.config.patch_size,
                "size": each.model.config.image_size,
                "tokens": each.model.config.num_sparse_tokens,
                "draws": each.model.can_draw,
            }
            for each in workbench.models
        ],
        # Copies of tokens are tokens too.
        "colours": token_colours(2 * most),
        "brought": [
            {"key": key, "name": workbench.gallery.name(key)} for key in workbench.gallery.brought
        ],
        "title": workbench.gallery.title,
        "count": len(workbench.gallery.source),
        "indexed": finder.num_indexed,
        "whyNoSearch": finder.why_no_search,
        "words": finder.knows_words,
        "canName": finder.can_name,
    }


def of_look(look: Look, concepts: list[int | None] | None = None) -> dict[str, Any]:
    """A picture in the eyes of a model, after an edit, and the concepts of its tokens."""
    maps = look.factors.maps[0].float().cpu().numpy()
    left, top, width, height = look.frame
    return {
        "name": look.name,
        "size": look.size,
        "frame": [left / look.size[0], top / look.size[1], width / look.size[0],
                  height / look.size[1]],
        "aspect": width / height,
        "input": [look.image.shape[2], look.image.shape[1]],
        "grid": look.factors.grid,
        "maps": floats(maps),
        "sharpness": maps.max(axis=0).mean().item(),
        "tokens": _tokens(look.where),
        "concepts": concepts,
        "drawing": None if look.drawing is None else data_url(png(look.drawing)),
        "psnr": look.psnr if look.psnr is not None and isfinite(look.psnr) else None,
    }  # fmt: skip


def of_hit(hit: Hit, finder: Finder) -> dict[str, Any]:
    """A picture that was found, and the tokens to choose when it is opened."""
    tokens = finder.tokens_of(hit) if len(hit.matches) <= MOST_CHOSEN else []
    return {**_found(hit, finder), "tokens": tokens}


def _found(hit: Hit, finder: Finder) -> dict[str, Any]:
    """A picture, and where its strongest match lies."""
    (strongest,) = hit.strongest(1)
    size = hit.size if hit.size and min(hit.size) > 0 else (1, 1)
    left, top, width, height = frame(size, finder.workbench.fit)
    return {
        "key": finder.key_of(hit.path),
        "name": hit.path,
        "score": round(hit.score, 3) or 0.0,  # not -0.0
        "thumbnail": data_url(hit.thumbnail, "jpeg") if hit.thumbnail else None,
        "aspect": width / height,
        "frame": [left / size[0], top / size[1], width / size[0], height / size[1]],
        "place": strongest.place,
        "grid": list(strongest.map.shape),
        "map": floats(np.max([match.map for match in hit.matches], axis=0)),
    }


def of_concepts(finder: Finder) -> list[dict[str, Any]]:
    """What is in the pictures at all."""
    return [
        {
            "name": concept.name,
            "pictures": concept.num_pictures,
            "share": concept.share,
            "grid": list(concept.where.shape),
            "where": floats(concept.where),
            "examples": [_found(hit, finder) for hit in concept.examples],
        }
        for concept in finder.overview.concepts
    ]


def _tokens(where: Places) -> list[dict[str, Any]]:
    """Share of the picture and place of each."""
    each = zip(where.share.tolist(), where.centre.tolist(), where.spread.tolist(), strict=True)
    return [{"share": share, "place": in_words(x, y, spread)} for share, (x, y), spread in each]


def view(pixels: Pixels) -> tuple[bytes, str]:
    """A picture as people want to see it: its own pixels, up to LONGEST. The bytes, and their media
    type.
    """
    image = to_pillow(pixels)
    image.thumbnail((LONGEST, LONGEST), Image.Resampling.LANCZOS)
    if max(image.size) <= SMALL:
        return _encoded(image, format="PNG"), "image/png"
    return _encoded(image, format="JPEG", quality=90), "image/jpeg"


def png(pixels: Pixels) -> bytes:
    """A picture without loss."""
    return _encoded(to_pillow(pixels), format="PNG")


def data_url(data: bytes, kind: str = "png") -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"


def floats(values: Float[np.ndarray, "..."]) -> str:
    """float32, little endian, in Base64."""
    return base64.b64encode(values.astype("<f4").tobytes()).decode("ascii")


def _encoded(image: Image.Image, **how: Any) -> bytes:
    buffer = BytesIO()
    image.save(buffer, **how)
    return buffer.getvalue()
