"""What S, L and the pooled dense feature of an object predict of its material, place and digit.

Two probes, fitted on the objects of training scenes and scored on those of held-out scenes:

- kNN: the 20 training objects of highest cosine vote for their class (knn.py).
- linear: logistic regression on standardised features.

L enters as it is, the P numbers of the token's map, neither resized nor sharpened.
Chance is the share of the largest class among the held-out objects.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from stellar.evaluation.knn import knn_predict
from stellar.evaluation.scenes import SceneFeatures

Probe = Literal["knn", "linear"]

FEATURES = {"S": "sparse", "L": "spatial", "dense": "dense"}
LABELS = {"material": "material", "place": "quadrant", "digit": "digit"}

NUM_NEIGHBOURS = 20
INVERSE_PENALTIES = (0.01, 0.1, 1.0, 10.0)
"""Of the logistic regression, to choose from: features differ in how much they overfit."""


@dataclass(frozen=True)
class ProbeScore:
    """How often one probe on one feature names the right class of one label."""

    feature: str
    label: str
    probe: Probe
    accuracy: float
    chance: float


def probe_matrix(train: SceneFeatures, heldout: SceneFeatures) -> tuple[ProbeScore, ...]:
    """Every feature against every label, with both probes."""
    scores = []
    for feature, feature_field in FEATURES.items():
        x, x_heldout = getattr(train, feature_field), getattr(heldout, feature_field)
        for label, label_field in LABELS.items():
            y, y_heldout = getattr(train, label_field), getattr(heldout, label_field)
            chance = largest_class_share(y_heldout)
            predictions: dict[Probe, Tensor] = {
                "knn": knn_predict(x, y, x_heldout, (NUM_NEIGHBOURS,))[NUM_NEIGHBOURS],
                "linear": linear_predict(x, y, x_heldout),
            }
            for probe, predicted in predictions.items():
                accuracy = (predicted == y_heldout).double().mean().item()
                scores.append(ProbeScore(feature, label, probe, accuracy, chance))
    return tuple(scores)


def largest_class_share(labels: Int64[Tensor, " n"]) -> float:
    """Accuracy of always naming the most frequent class."""
    return labels.bincount().max().item() / len(labels)


def linear_predict(
    features: Float[Tensor, "n d"], labels: Int64[Tensor, " n"], queries: Float[Tensor, "m d"]
) -> Int64[Tensor, " m"]:
    """The class that multinomial logistic regression names.

    The penalty is chosen on the last fifth of the training objects, then all of them are fitted.
    """
    cut = len(labels) * 4 // 5
    if labels[:cut].unique().numel() < 2:
        return labels[:1].expand(len(queries))
    x, y = features.double().numpy(), labels.numpy()

    def score(inverse_penalty: float) -> float:
        return _fit_regression(x[:cut], y[:cut], inverse_penalty).score(x[cut:], y[cut:])

    model = _fit_regression(x, y, max(INVERSE_PENALTIES, key=score))
    return torch.from_numpy(model.predict(queries.double().numpy()))


def _fit_regression(x: np.ndarray, y: np.ndarray, inverse_penalty: float) -> Any:
    """A fitted scikit-learn pipeline."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from threadpoolctl import threadpool_limits

    regression = LogisticRegression(C=inverse_penalty, max_iter=1000, tol=1e-3)
    with threadpool_limits(limits=1):  # on matrices this small, more threads take 20 times as long
        return make_pipeline(StandardScaler(), regression).fit(x, y)
