"""The colours of drawn things: eight clear hues, their shades, and what small parts are made of.

Colours vary from thing to thing, so that a thing's mean colour names its hue and hardly its kind.
"""

import numpy as np
from numpy.random import Generator

from stellar.data.scenes.sketch import Part

Colour = tuple[int, int, int]

_HUES = {
    "red": ((228, 66, 58), (196, 44, 48), (136, 24, 40)),
    "orange": ((246, 142, 50), (226, 108, 32), (184, 76, 16)),
    "yellow": ((252, 212, 72), (240, 176, 44), (188, 120, 16)),
    "green": ((120, 190, 76), (84, 156, 60), (40, 100, 48)),
    "teal": ((52, 180, 168), (28, 144, 140), (12, 92, 100)),
    "blue": ((76, 136, 228), (52, 104, 200), (28, 60, 136)),
    "purple": ((152, 100, 208), (120, 72, 176), (76, 40, 120)),
    "pink": ((248, 146, 190), (228, 108, 160), (168, 60, 112)),
}
"""MAIN, DEEP and DARK of every hue; LIGHT lies between MAIN and white."""
COLOURS: tuple[str, ...] = tuple(_HUES)

_MATERIALS = {
    Part.WHITE: ((252, 250, 246), (148, 140, 152)),
    Part.INK: ((60, 52, 60), (36, 28, 36)),
    Part.WOOD: ((152, 108, 76), (92, 56, 40)),
    Part.LEAF: ((104, 172, 80), (40, 92, 44)),
    Part.STRAW: ((250, 204, 104), (184, 112, 40)),
    Part.CREAM: ((244, 214, 168), (176, 120, 80)),
    Part.ROSE: ((240, 108, 120), (160, 40, 68)),
    Part.GLASS: ((208, 232, 244), (112, 152, 184)),
    Part.STEEL: ((204, 204, 212), (100, 100, 112)),
}
"""Of each its colour and a darker one; rims lie between the two."""

_SHADE = 9
"""How far a thing's main colour goes towards DARK or towards white, of 64."""
_VARIATION = 10
"""How far each channel of every colour goes beyond that, of 255, from thing to thing."""


def _paint(main: Colour, deep: Colour, dark: Colour) -> np.ndarray:
    """The colours of a thing in this hue, (2, parts + 1, 3): of its parts, and of their rims."""
    light = tuple((channel + 255) // 2 for channel in main)
    shades = {Part.MAIN: main, Part.DEEP: deep, Part.DARK: dark, Part.LIGHT: light}
    pairs = {part: (colour, dark) for part, colour in shades.items()} | _MATERIALS
    colours, darker = np.array([((0, 0, 0),) * 2, *(pairs[part] for part in Part)]).swapaxes(0, 1)
    return np.stack([colours, (colours + darker) // 2])


_OF_HUE = [Part.MAIN, Part.DEEP, Part.DARK, Part.LIGHT]
_PAINTS = [_paint(*shades) for shades in _HUES.values()]


def mix(rng: Generator, colour: int) -> np.ndarray:
    """The colours of one thing, place in COLOURS given, (2, parts + 1, 3); they vary a bit."""
    paint = _PAINTS[colour]
    change = rng.integers(-_VARIATION, _VARIATION + 1, size=paint.shape[1:])
    change[_OF_HUE] = change[Part.MAIN]
    shade = int(rng.integers(-_SHADE, _SHADE + 1))
    paint = paint + change
    towards = paint[0, Part.DARK] if shade < 0 else 255
    paint[:, _OF_HUE] += (towards - paint[:, _OF_HUE]) * abs(shade) // 64
    return np.clip(paint, 0, 255)
