"""A picture to search by: its tokens, where they lie, and which of them explains a pixel."""

from dataclasses import dataclass
from numbers import Integral
from pathlib import Path

import numpy as np
from jaxtyping import Float, Float32

from stellar.config import Fit
from stellar.images import Picture, frame, read_image
from stellar.model import Stellar, check_model
from stellar.model.files.fingerprint import fingerprint
from stellar.precision import inference
from stellar.searching.places import patch_at
from stellar.searching.tables import Contents, SearchError
from stellar.searching.thumbnails import LARGE, thumbnail
from stellar.searching.vectors import unit


@dataclass(frozen=True)
class Example:
    """A picture of the index, or one that was encoded for the search."""

    path: str
    sparse: Float32[np.ndarray, "K D"]
    """Its tokens, of length 1."""
    maps: Float[np.ndarray, "K h w"]
    size: tuple[int, int] | None
    """Width and height of the picture itself, in pixels, where they are known."""
    fit: Fit
    """How it came to the size that the model saw."""
    thumbnail: bytes
    """JPEG, or empty."""
    model_sha256: str
    """Of the model whose tokens these are."""
    in_index: bool = True
    """Whether `path` is one of the index, and not a file's."""

    def token(self, number: int) -> Float32[np.ndarray, "D"]:
        """One of its tokens. Raises SearchError for a number that there is none of."""
        if not isinstance(number, Integral) or number not in range(len(self.sparse)):
            raise SearchError(
                f"{self.path} has the tokens 0 to {len(self.sparse) - 1}, got token {number!r}"
            )
        return self.sparse[int(number)]

    def check(self, contents: Contents) -> None:
        """Raises SearchError where an index is of another model."""
        if self.model_sha256 != (indexed := contents.model["model_sha256"]):
            raise SearchError(
                f"the tokens of {self.path} are of another model ({self.model_sha256[:12]}) than "
                f"the index ({indexed[:12]}); make the example with this index"
            )


def encoded(file: Path, model: Stellar, contents: Contents) -> Example:
    """A picture file, as the model of an index sees it, with as many tokens as are kept there.
    Raises SearchError for another model, and UnreadableImage.
    """
    check_model(model)
    indexed, found = contents.model, fingerprint(model)
    if found != indexed["model_sha256"]:
        raise SearchError(
            f"the index was made with another model ({indexed['model_sha256'][:12]}) than this one "
            f"({found[:12]}); search with that one, or index an embedding of this one"
        )
    pixels = read_image(file, model.config.in_chans)
    with inference(model):
        factors = model.encode(pixels, fit=indexed["fit"])
        if contents.keeps_strongest:
            factors = factors.strongest(contents.num_tokens)
    sparse, maps = (value[0].half().cpu().numpy() for value in (factors.sparse, factors.maps))
    height, width = pixels.shape[1:]
    small = thumbnail(Picture(pixels), LARGE).jpeg
    return Example(
        str(file), unit(sparse), maps, (width, height), indexed["fit"], small, found, in_index=False
    )


def token_at(example: Example, pixel: tuple[float, float]) -> int:
    """The token whose map is largest at a pixel (x, y) of the picture itself. Raises SearchError
    outside of what the model saw, and where the picture's size is not known.
    """
    if example.size is None:
        raise SearchError(
            f"the size of {example.path} is not known, so no pixel can be found in it; call "
            "stellar index again, with --pictures"
        )
    x0, y0, width, height = frame(example.size, example.fit)
    x, y = (pixel[0] + 0.5 - x0) / width, (pixel[1] + 0.5 - y0) / height
    if not (0 <= x < 1 and 0 <= y < 1):
        raise SearchError(
            f"the pixel {pixel[0]:g},{pixel[1]:g} lies outside of what the model saw: "
            f"{example.path} has {example.size[0]} x {example.size[1]} pixels, of which it saw "
            f"{width} x {height} from {x0},{y0} on (x first)"
        )
    row, column = patch_at(x, y, *example.maps.shape[1:])
    return int(example.maps[:, row, column].argmax())
