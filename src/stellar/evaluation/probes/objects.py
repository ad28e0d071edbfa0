"""What can be told of an object's class, place, size and colour from what a model says of it.

Two probes, fitted on objects of training pictures and scored on those of test pictures:

- kNN: the 20 training objects of highest cosine vote for their class (knn.py).
- linear: logistic regression on standardised features.

L enters as it is, the P numbers of the token's map, neither resized nor sharpened; colours are
standardised, so that cosine sees how bright they are. Size is one of three classes: the visible
areas of the training objects, divided into thirds. Chance is the share of the largest class among
the test objects.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from stellar.evaluation.features.objects import FEATURES, Objects
from stellar.evaluation.probes.knn import knn_predict

Probe = Literal["kNN", "linear"]

LABELS = ("class", "colour", "place", "size")
"""Those that some data set knows."""
PROBES: tuple[Probe, ...] = ("kNN", "linear")

NUM_NEIGHBOURS = 20
INVERSE_PENALTIES = (0.01, 0.1, 1.0, 10.0)
"""Of the logistic regression, to choose from: features differ in how much they overfit."""
MOST = 4000
"""Objects that a logistic regression is fitted on, evenly spread."""


@dataclass(frozen=True)
class ProbeScore:
    """How often one probe on one feature names the right class of one label."""

    feature: str
    label: str
    probe: Probe
    accuracy: float
    chance: float


def probe_matrix(
    train: Objects, test: Objects, probes: Sequence[Probe] = PROBES
) -> list[ProbeScore]:
    """Every feature that is there against every label that is known."""
    known, asked = (labels_of(objects, train) for objects in (train, test))
    chance = {label: largest_class_share(asked[label]) for label in known}

    def ask(cell: tuple[str, str, Probe]) -> ProbeScore:
        label, feature, probe = cell
        x, queries = train.features[feature], test.features[feature]
        if feature.startswith("colour"):
            mean, spread = x.mean(dim=0), x.std(dim=0).clamp_min(1e-6)
            x, queries = (x - mean) / spread, (queries - mean) / spread
        predicted = PREDICT[probe](x, known[label], queries)
        right = (predicted == asked[label]).double().mean().item()
        return ProbeScore(feature, label, probe, right, chance[label])

    labels = [label for label in LABELS if label in known]
    features = [feature for feature in FEATURES if feature in train.features]
    cells = product(labels, features, probes)
    if "linear" not in probes:
        return list(map(ask, cells))
    with _threads() as threads:
        return list(threads.map(ask, cells))


@contextmanager
def _threads() -> Iterator[ThreadPoolExecutor]:
    """As many as torch computes in, for logistic regressions: each in one, since on matrices this
    small more take 20 times as long.
    """
    import sklearn.linear_model  # noqa: F401 - a limit holds for the libraries that are loaded
    from threadpoolctl import threadpool_limits

    # OpenBLAS has one limit for the process, OpenMP one for each thread.
    pool = ThreadPoolExecutor(torch.get_num_threads(), initializer=threadpool_limits, initargs=(1,))
    with threadpool_limits(limits=1), pool:
        yield pool


def labels_of(objects: Objects, train: Objects) -> dict[str, Int64[Tensor, " n"]]:
    """By name; the training objects say what is small and large."""
    thirds = train.area.quantile(train.area.new_tensor([1 / 3, 2 / 3]))
    return {**objects.labels, "size": torch.bucketize(objects.area, thirds)}


def largest_class_share(labels: Int64[Tensor, " n"]) -> float:
    """Accuracy of always naming the most frequent class."""
    return labels.bincount().max().item() / len(labels)


def nearest_predict(
    features: Float[Tensor, "n d"], labels: Int64[Tensor, " n"], queries: Float[Tensor, "m d"]
) -> Int64[Tensor, " m"]:
    """The class that most of the nearest objects vote for."""
    return knn_predict(features, labels, queries, (NUM_NEIGHBOURS,))[NUM_NEIGHBOURS]


def linear_predict(
    features: Float[Tensor, "n d"], labels: Int64[Tensor, " n"], queries: Float[Tensor, "m d"]
) -> Int64[Tensor, " m"]:
    """The class that multinomial logistic regression names.

    The penalty is chosen on the last fifth of the training objects, then all of them are fitted.
    """
    some = torch.arange(0, len(labels), -(-len(labels) // MOST))
    features, labels = features[some], labels[some]
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

    regression = LogisticRegression(C=inverse_penalty, max_iter=1000, tol=1e-3)
    return make_pipeline(StandardScaler(), regression).fit(x, y)


PREDICT: dict[Probe, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "kNN": nearest_predict,
    "linear": linear_predict,
}
"""From features and labels of training objects, and features of others, to their labels."""
