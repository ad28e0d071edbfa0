"""Schedules as functions of the step: the learning rate and the teacher's momentum."""

import math

from stellar.config import ObjectiveConfig, TrainingConfig


def learning_rate(step: int, total: int, config: TrainingConfig) -> float:
    """Linear warmup to the peak, then a cosine to `final_learning_rate`, which the last step
    reaches; or the peak to the end.
    """
    warmup = int(config.warmup * total)
    if step < warmup:
        return config.learning_rate * (step + 1) / warmup
    if config.schedule == "constant":
        return config.learning_rate
    progress = (step - warmup) / max(1, total - 1 - warmup)
    share = 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
    final = min(config.final_learning_rate, config.learning_rate)
    return final + (config.learning_rate - final) * share


def teacher_momentum(step: int, total: int, config: ObjectiveConfig) -> float:
    """Constant, or rising from `teacher_momentum` to 1 along a cosine."""
    if config.teacher != "cosine":
        return config.teacher_momentum
    share = 0.5 * (1 + math.cos(math.pi * step / max(1, total - 1)))
    return 1 - (1 - config.teacher_momentum) * share
