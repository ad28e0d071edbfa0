"""The loop, its run folder, its checkpoints, and the figures that say whether the model is well."""

from stellar.training.divergence import TrainingStopped
from stellar.training.pretrain import PretrainResult, pretrain, resume
from stellar.training.run_folder import RunError

__all__ = ["PretrainResult", "RunError", "TrainingStopped", "pretrain", "resume"]
