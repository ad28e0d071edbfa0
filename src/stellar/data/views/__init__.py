"""The views of an image that a training step sees: drawn, cut out and batched, and their colours
changed.
"""

from stellar.data.views.batches import Batch, ViewBatch
from stellar.data.views.multiview import MultiView, cut_on

__all__ = ["Batch", "MultiView", "ViewBatch", "cut_on"]
