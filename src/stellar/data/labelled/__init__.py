"""Pictures with labels, in a training and a test set.

Labels are the classes of a picture (`classes.py`; from folders, `csv_table.py` or `imagenet.py`),
or a class for every pixel (`masked.py`; from `pairs.py`, `segmentation_sets.py`, `coco.py`,
`clevrtex.py` or `movi.py`).
"""

from stellar.data.labelled.classes import LabelledImages, Splits, WrongLayout, open_labelled
from stellar.data.labelled.masked import IGNORED, MaskedFiles, MaskedSource, MaskedSplits, Masks

__all__ = [
    "IGNORED",
    "LabelledImages",
    "MaskedFiles",
    "MaskedSource",
    "MaskedSplits",
    "Masks",
    "Splits",
    "WrongLayout",
    "open_labelled",
]
