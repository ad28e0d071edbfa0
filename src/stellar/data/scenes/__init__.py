"""Drawn scenes: one to four small drawn things on paper, each with a kind (*what*), a colour and a
place (*where*), and the truth about every pixel.

`things` draws each kind with the pencil of `sketch.py`, `sprites.py` makes pixels of it,
`palette.py` has the colours, `grounds.py` the paper, and `scenes.py` puts them together.
"""

from stellar.data.scenes.palette import COLOURS
from stellar.data.scenes.scenes import CLASSES, KIND_COLOURS, KINDS, Scene, SceneObject, Scenes

__all__ = ["CLASSES", "COLOURS", "KINDS", "KIND_COLOURS", "Scene", "SceneObject", "Scenes"]
