"""The seven terms, their targets, and the step that runs them."""

from stellar.objective.losses import Losses, Weights
from stellar.objective.pretraining_model import PretrainingModel, Teacher
from stellar.objective.step import StepResult, Views, step

__all__ = ["Losses", "PretrainingModel", "StepResult", "Teacher", "Views", "Weights", "step"]
