"""The views of a batch, as a step takes them."""

from dataclasses import dataclass

from jaxtyping import Float, Int
from torch import Tensor

from stellar.model.encoder import Images


@dataclass(frozen=True)
class Views:
    """The views of B images on the device; those of one image are adjacent."""

    full: Images
    masked: Float[Tensor, "BV C H W"]
    keep: Int[Tensor, "BV n"] | None
    """Patches that each masked view keeps; None: all."""
    local: Float[Tensor, "BW C h w"]
    second: Images | None = None
    """The second whole view: what a teacher encodes, or what global alignment compares with the
    full one.
    """
