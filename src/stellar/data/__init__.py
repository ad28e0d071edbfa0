"""Picture files, shards and the embedded scenes: batches of views to train on, labelled pictures
and masks to evaluate on.

`sources.py` and `evaluation_data.py` open what a user names; `loader.py` and `picture_batches.py`
batch it.
"""

from stellar.data.embedded import EMBEDDED, open_embedded
from stellar.data.evaluation_data import open_data, open_scenes
from stellar.data.folder import DataError, ImageFolder, ImageSource, Listed
from stellar.data.labelled import (
    IGNORED,
    LabelledImages,
    MaskedFiles,
    MaskedSource,
    MaskedSplits,
    Masks,
    Splits,
    open_labelled,
)
from stellar.data.loader import view_batches
from stellar.data.named_pictures import NamedPictures, open_pictures
from stellar.data.scenes import Scene, SceneObject, Scenes
from stellar.data.shards import Shards
from stellar.data.sources import open_source
from stellar.data.unreadable import check_readable
from stellar.data.views import Batch, MultiView, ViewBatch, cut_on

__all__ = [
    "EMBEDDED",
    "IGNORED",
    "Batch",
    "DataError",
    "ImageFolder",
    "ImageSource",
    "LabelledImages",
    "Listed",
    "MaskedFiles",
    "MaskedSource",
    "MaskedSplits",
    "Masks",
    "MultiView",
    "NamedPictures",
    "Scene",
    "SceneObject",
    "Scenes",
    "Shards",
    "Splits",
    "ViewBatch",
    "check_readable",
    "cut_on",
    "open_data",
    "open_embedded",
    "open_labelled",
    "open_pictures",
    "open_scenes",
    "open_source",
    "view_batches",
]
