"""What cls, S and U know of a picture's class: kNN and linear probes on the cached features."""

from collections.abc import Iterator, Sequence

from stellar.data.labelled import Splits
from stellar.evaluation.evaluators.evaluator import Evaluator, Measure, Row
from stellar.evaluation.features.pictures import NAMES
from stellar.evaluation.probes.holdout import num_steps
from stellar.evaluation.probes.knn import KS, TEMPERATURE, knn_accuracy
from stellar.evaluation.probes.linear import BATCH, linear_probe
from stellar.evaluation.scores import Quantity, Score
from stellar.evaluation.subject import Subject

SHOWN_K = 20
"""Of all k, the one that the terminal, the headline and the figures show."""


def nearest(feature: str, k: int = SHOWN_K) -> Quantity:
    """Accuracy of the vote of k neighbours."""
    return Quantity(
        "kNN", f"{feature}, k = {k}", "top-1", feature=feature, probe="kNN", k=k, unit="%"
    )


def linear(metric: str, feature: str = "") -> Quantity:
    """Accuracy of the linear probe on one feature, or on the one that was chosen."""
    name = f"{metric}, {feature}" if feature else metric
    return Quantity("linear probe", name, metric, feature=feature, probe="linear", unit="%")


def ranks(num_classes: int) -> tuple[str, ...]:
    """Metrics that can fail: of 5 classes, the right one is always among the first 5."""
    return ("top-1", "top-5") if num_classes > 5 else ("top-1",)


def neighbours(subject: Subject) -> Iterator[Score]:
    """kNN accuracy of every feature, for every k, of pictures with one class."""
    if not isinstance(subject.data, Splits):
        return
    if subject.data.multi_label:
        subject.note(
            "kNN was not measured: its neighbours vote for one class, but these pictures have "
            "several; give a label each"
        )
        return
    train, test = subject.train, subject.test
    for feature in train.names:
        accuracy = knn_accuracy(
            train.tensor(feature),
            train.labels,
            test.tensor(feature).to(subject.model.device),
            test.labels,
        )
        for k, value in accuracy.items():
            yield Score(nearest(feature, k), 100 * value)


def probe(subject: Subject) -> Iterator[Score]:
    """Top-1, and top-5 of more than 5 classes, or mean average precision where pictures have
    several, of the linear probe that does best on held-out training pictures; and the first of them
    for every feature.
    """
    data, settings = subject.data, subject.settings
    if not isinstance(data, Splits):
        return
    train, test = subject.train, subject.test
    results = [
        linear_probe(
            {name: train.tensor(name) for name in train.names}, train.labels,
            {name: test.tensor(name).to(subject.model.device) for name in test.names}, test.labels,
            len(data.classes), epochs=settings.epochs, seed=seed,
        )
        for seed in settings.seeds
    ]  # fmt: skip
    subject.note_steps("the linear probe", num_steps(len(train.labels), settings.epochs, BATCH))
    detail = "; ".join(f"{r.feature}, rate {r.learning_rate:.1e}" for r in results)
    if data.multi_label:
        tested = int(test.labels.any(dim=0).sum())
        detail += f"; over the {tested} of {len(data.classes)} classes that test pictures have"
    metrics = ("mAP",) if data.multi_label else ranks(len(data.classes))
    for place, metric in enumerate(metrics):
        values = [result.accuracies[place] for result in results]
        yield _percent(linear(metric), values, detail)
    for feature in train.names:
        found = [result.by_feature[feature] for result in results]
        rates = ", ".join(f"rate {head.learning_rate:.1e}" for head in found)
        yield _percent(linear(metrics[0], feature), [head.accuracies[0] for head in found], rates)


def _percent(quantity: Quantity, shares: Sequence[float], detail: str) -> Score:
    """Mean and spread over seeds."""
    return Score.over_seeds(quantity, [100 * share for share in shares], detail)


TOP_1 = Measure("Linear probe", "top-1", (linear("top-1"),))
MAP = Measure("Linear probe", "mean average precision", (linear("mAP"),))
KNN_S, KNN_CLS = (
    Measure(f"kNN on {feature}", f"top-1, k = {SHOWN_K}", (nearest(feature),))
    for feature in ("S", "cls")
)
LINEAR_PROBE = Evaluator(
    "linear probe",
    "LayerNorm and a linear layer, 12 learning rates from 1e-5 to 1e-2 trained at the same time; "
    "rate, and the feature of the first numbers, chosen on a tenth of the training pictures; where "
    "pictures have several classes, by binary cross-entropy, and mAP is the mean over the classes "
    "that test pictures have",
    probe,
    quantities=(
        linear("top-1"), linear("top-5"), linear("mAP"),
        *(linear(metric, feature) for metric in ("top-1", "mAP") for feature in NAMES),
    ),
    headline=(TOP_1, MAP),
)  # fmt: skip
KNN = Evaluator(
    "kNN",
    f"cosine, votes weighted by exp(cosine / {TEMPERATURE}), top-1 on the test pictures",
    neighbours,
    quantities=tuple(nearest(feature, k) for feature in NAMES for k in KS),
    rows=tuple(Row(nearest(feature).name, (nearest(feature),)) for feature in NAMES),
    headline=(KNN_S, KNN_CLS),
)
