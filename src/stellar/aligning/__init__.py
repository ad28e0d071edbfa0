"""Tokens into the space of a model of pictures and texts, such as CLIP, so that words find them
(arXiv 2602.01905, appendix B.3, aligns to a text tower).

Without captions, a token's map of the picture is cut out and shown to the tower, and a linear map
learns to say from the token what the tower says of it (`examples.py`, `fitting.py`). The tower's
texts lie in the same space (`towers.py`).
"""

from stellar.aligning.align import Alignment, align
from stellar.aligning.towers import Tower, load_tower

__all__ = ["Alignment", "Tower", "align", "load_tower"]
