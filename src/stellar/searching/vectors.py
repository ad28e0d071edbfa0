"""Tokens and words as they are compared: by their directions."""

import numpy as np
from jaxtyping import Float, Float32


def unit(vectors: Float[np.ndarray, "*n D"]) -> Float32[np.ndarray, "*n D"]:
    """Vectors of length 1, in the same directions; zeros stay zeros."""
    vectors = vectors.astype(np.float32)
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.where(length > 0, length, 1)
