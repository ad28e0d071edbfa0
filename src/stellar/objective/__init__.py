"""The seven terms, their targets, and the step that runs them."""

from stellar.objective.losses import Losses
from stellar.objective.pretraining_model import PretrainingModel, Teacher
from stellar.objective.reference import Targets
from stellar.objective.step import StepResult, step
from stellar.objective.views import Views

__all__ = [
    "Losses",
    "PretrainingModel",
    "StepResult",
    "Targets",
    "Teacher",
    "Views",
    "step",
]
