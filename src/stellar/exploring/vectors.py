"""The tokens of one picture as searches compare them."""

import numpy as np
from jaxtyping import Float32

from stellar.model import Factors
from stellar.searching.vectors import unit


def token_vectors(factors: Factors) -> Float32[np.ndarray, "K D"]:
    """Of length 1, rounded as an index has them."""
    return unit(factors.sparse[0].half().cpu().numpy())
