"""Pictures with labels, in a training and a test set.

Labels are the classes of a picture (`classes.py`; from folders, `table.py` or `imagenet.py`) or a
class for every pixel (`masks.py`; from `pairs.py` or `published.py`).
"""

from stellar.data.labelled.classes import LabelledImages, Splits, open_labelled
from stellar.data.labelled.masks import IGNORED, MaskedFiles, MaskedSource, MaskedSplits, Masks

__all__ = [
    "IGNORED",
    "LabelledImages",
    "MaskedFiles",
    "MaskedSource",
    "MaskedSplits",
    "Masks",
    "Splits",
    "open_labelled",
]
