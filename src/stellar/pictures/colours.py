"""Colours that are told apart easily: farthest points, one after the other, in the OKLab space.

Distances in OKLab are as they are seen (Ottosson, 2020). Candidates are of medium lightness
and moderate chroma, so that they sit well together on white, on grey pictures and side by side.
"""

from functools import cache

import numpy as np

Colour = tuple[int, int, int]

_FIRST = (0.68, 0.16, 255.0)
"""Lightness, chroma and hue (degrees) of the first colour: a calm blue."""
_TIERS = (
    (0.68, 0.16, 1.0),
    (0.79, 0.145, 1.0),
    (0.59, 0.16, 0.9),
    (0.87, 0.085, 0.6),
    (0.48, 0.1, 0.6),
)
"""Lightness, chroma and preference of the candidates, clear ones first; hues are a degree apart."""
_LIGHTNESS_WEIGHT = 0.7
"""On pictures, lightness already varies: a difference of hue says more."""


@cache
def token_colours(num_tokens: int) -> tuple[Colour, ...]:
    """A colour (sRGB, 0 to 255) for each token; more tokens leave the first ones as they are."""
    hue = np.arange(360.0)
    candidates = np.concatenate([_oklab(lightness, chroma, hue) for lightness, chroma, _ in _TIERS])
    preference = np.repeat([preference for *_, preference in _TIERS], len(hue))
    rgb = _to_srgb(candidates)
    inside = ((rgb >= 0) & (rgb <= 1)).all(axis=1)
    candidates, preference, rgb = candidates[inside], preference[inside], rgb[inside]
    seen = candidates * (_LIGHTNESS_WEIGHT, 1.0, 1.0)
    first = _oklab(*_FIRST) * (_LIGHTNESS_WEIGHT, 1.0, 1.0)
    chosen = [int(np.linalg.norm(seen - first, axis=1).argmin())]
    distance = np.full(len(seen), np.inf)
    while len(chosen) < num_tokens:
        distance = np.minimum(distance, np.linalg.norm(seen - seen[chosen[-1]], axis=1))
        chosen.append(int((preference * distance).argmax()))
    return tuple((int(r), int(g), int(b)) for r, g, b in np.round(255 * rgb[chosen]))


def _oklab(lightness: float, chroma: float, hue: np.ndarray | float) -> np.ndarray:
    angle = np.deg2rad(np.atleast_1d(hue))
    return np.stack(
        [np.full_like(angle, lightness), chroma * np.cos(angle), chroma * np.sin(angle)], axis=1
    )


def _to_srgb(oklab: np.ndarray) -> np.ndarray:
    """OKLab to gamma-encoded sRGB; outside [0, 1] where the colour cannot be shown."""
    to_cone = np.array(
        [
            [1, 0.3963377774, 0.2158037573],
            [1, -0.1055613458, -0.0638541728],
            [1, -0.0894841775, -1.2914855480],
        ]
    )
    to_linear = np.array(
        [
            [4.0767416621, -3.3077115913, 0.2309699292],
            [-1.2684380046, 2.6097574011, -0.3413193965],
            [-0.0041960863, -0.7034186147, 1.7076147010],
        ]
    )
    linear = (oklab @ to_cone.T) ** 3 @ to_linear.T
    curved = 1.055 * np.maximum(linear, 0) ** (1 / 2.4) - 0.055
    return np.where(linear <= 0.0031308, 12.92 * linear, curved)
