"""The tests: each a function from a subject to scores, and what it declares."""

from collections.abc import Mapping

from stellar.evaluation.evaluators.attention import ATTENTIVE_PROBE
from stellar.evaluation.evaluators.classification import KNN, LINEAR_PROBE
from stellar.evaluation.evaluators.equivariance import EQUIVARIANCE
from stellar.evaluation.evaluators.evaluator import Evaluator, Measure
from stellar.evaluation.evaluators.fewer_tokens import FEWER_TOKENS
from stellar.evaluation.evaluators.frozen_decoder import FROZEN_RECONSTRUCTION
from stellar.evaluation.evaluators.localisation import LOCALISATION
from stellar.evaluation.evaluators.nearest_patches import KNN_SEGMENTATION
from stellar.evaluation.evaluators.presence import PRESENCE
from stellar.evaluation.evaluators.published.linear import PUBLISHED_LINEAR
from stellar.evaluation.evaluators.published.reconstruction import PUBLISHED_RECONSTRUCTION
from stellar.evaluation.evaluators.published.segmentation import PUBLISHED_SEGMENTATION
from stellar.evaluation.evaluators.reconstruction import RECONSTRUCTION
from stellar.evaluation.evaluators.segmentation import SEGMENTATION
from stellar.evaluation.evaluators.size_and_speed import COST
from stellar.evaluation.evaluators.what_where import FACTORIZATION

BY_PROTOCOL: Mapping[str, tuple[Evaluator, ...]] = {
    "stellar": (
        LINEAR_PROBE, ATTENTIVE_PROBE, KNN, FACTORIZATION, PRESENCE, SEGMENTATION, KNN_SEGMENTATION,
        LOCALISATION, RECONSTRUCTION, FEWER_TOKENS, FROZEN_RECONSTRUCTION, EQUIVARIANCE, COST,
    ),
    "published": (PUBLISHED_LINEAR, PUBLISHED_SEGMENTATION, PUBLISHED_RECONSTRUCTION),
}  # fmt: skip
"""Those that are run, by `EvaluationConfig.protocol`."""
EVALUATORS: tuple[Evaluator, ...] = tuple(each for some in BY_PROTOCOL.values() for each in some)
"""All of them, in the order in which their numbers are read."""
HEADLINE: tuple[Measure, ...] = tuple(m for each in EVALUATORS for m in each.headline)
"""The numbers that matter most."""

__all__ = ["BY_PROTOCOL", "EVALUATORS", "HEADLINE", "Evaluator", "Measure"]
