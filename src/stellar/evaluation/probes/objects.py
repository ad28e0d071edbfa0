"""What S, L and the pooled dense feature of an object predict of its material, place, digit (its
shape) and size.

Two probes, fitted on the objects of training scenes and scored on those of held-out scenes:

- kNN: the 20 training objects of highest cosine vote for their class (knn.py).
- linear: logistic regression on standardised features.

L enters as it is, the P numbers of the token's map, neither resized nor sharpened.
Size is one of three classes: the visible areas of the training objects, divided into thirds.
Chance is the share of the largest class among the held-out objects.
"""

from dataclasses import dataclass
from itertools import product
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from stellar.evaluation.features.scenes import SceneFeatures
from stellar.evaluation.probes.knn import knn_predict

Probe = Literal["kNN", "linear"]

FEATURES = {"S": "sparse", "L": "spatial", "dense": "dense"}
LABELS = ("material", "place", "digit", "size")
PROBES: tuple[Probe, ...] = ("kNN", "linear")

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
    """Every feature that is there against every label, with both probes."""
    scores = []
    classes = zip(LABELS, _classes(train, train), _classes(heldout, train), strict=True)
    for (label, y, y_heldout), (feature, field) in product(classes, FEATURES.items()):
        x, x_heldout = getattr(train, field), getattr(heldout, field)
        if not x.shape[1]:
            continue
        predictions: dict[Probe, Tensor] = {
            "kNN": knn_predict(x, y, x_heldout, (NUM_NEIGHBOURS,))[NUM_NEIGHBOURS],
            "linear": linear_predict(x, y, x_heldout),
        }
        for probe, predicted in predictions.items():
            accuracy = (predicted == y_heldout).double().mean().item()
            scores.append(
                ProbeScore(feature, label, probe, accuracy, largest_class_share(y_heldout))
            )
    return tuple(scores)


def _classes(objects: SceneFeatures, train: SceneFeatures) -> tuple[Int64[Tensor, " n"], ...]:
    """Of each of LABELS; the training objects say what is small and large."""
    thirds = train.area.quantile(train.area.new_tensor([1 / 3, 2 / 3]))
    size = torch.bucketize(objects.area, thirds)
    return objects.material, objects.quadrant, objects.digit, size


def largest_class_share(labels: Int64[Tensor, " n"]) -> float:
    """Accuracy of always naming the most frequent class."""
    return labels.bincount().max().item() / len(labels)


def linear_predict(
    features: Float[Tensor, "n d"], labels: Int64[Tensor, " n"], queries: Float[Tensor, "m d"]
) -> Int64[Tensor, " m"]:
    """The class that multinomial logistic regression names.

    The penalty is chosen on the last fifth of the training objects, then all of them are fitted.
    """
    from threadpoolctl import threadpool_limits

    cut = len(labels) * 4 // 5
    if labels[:cut].unique().numel() < 2:
        return labels[:1].expand(len(queries))
    x, y = features.double().numpy(), labels.numpy()

    def score(inverse_penalty: float) -> float:
        return _fit_regression(x[:cut], y[:cut], inverse_penalty).score(x[cut:], y[cut:])

    with threadpool_limits(limits=1):  # on matrices this small, more threads take 20 times as long
        model = _fit_regression(x, y, max(INVERSE_PENALTIES, key=score))
        return torch.from_numpy(model.predict(queries.double().numpy()))


def _fit_regression(x: np.ndarray, y: np.ndarray, inverse_penalty: float) -> Any:
    """A fitted scikit-learn pipeline."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    regression = LogisticRegression(C=inverse_penalty, max_iter=1000, tol=1e-3)
    return make_pipeline(StandardScaler(), regression).fit(x, y)
