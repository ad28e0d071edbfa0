"""Everything that can be chosen about a run, as frozen dataclasses with one docstring a field.

The command line is generated from these classes, a run writes them into its own folder as
`run.toml`, and a bad value is refused here, at construction. Defaults are the paper's main recipe
for ViT-B/16 (arXiv 2602.01905).
"""

from stellar.config.checks import ConfigError, check_count, check_seed, check_workers, nearest
from stellar.config.evaluation import EvaluationConfig
from stellar.config.model import DecoderConfig, Fit, ModelConfig
from stellar.config.objective import ObjectiveConfig
from stellar.config.run import RunConfig
from stellar.config.training import TrainingConfig
from stellar.config.views import ViewConfig

__all__ = [
    "ConfigError",
    "DecoderConfig",
    "EvaluationConfig",
    "Fit",
    "ModelConfig",
    "ObjectiveConfig",
    "RunConfig",
    "TrainingConfig",
    "ViewConfig",
    "check_count",
    "check_seed",
    "check_workers",
    "nearest",
]
