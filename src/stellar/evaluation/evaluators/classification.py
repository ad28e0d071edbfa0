"""What cls, S and U know of a picture's class: kNN and linear probes on the cached features."""

from collections.abc import Iterator, Sequence

from stellar.data.labelled import Splits
from stellar.evaluation.probes.knn import knn_accuracy
from stellar.evaluation.probes.linear import linear_probe
from stellar.evaluation.scores import Score
from stellar.evaluation.subject import Subject


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
            yield Score("kNN", f"{feature}, k = {k}", 100 * value, "%")


def probe(subject: Subject) -> Iterator[Score]:
    """Top-1 and top-5, or mean average precision where pictures have several classes, of the linear
    probe that does best on held-out training pictures; and the first of them for every feature.
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
    detail = "; ".join(f"{r.feature}, rate {r.learning_rate:.1e}" for r in results)
    if data.multi_label:
        tested = int(test.labels.any(dim=0).sum())
        detail += f"; over the {tested} of {len(data.classes)} classes that test pictures have"
    names = ("mAP",) if data.multi_label else ("top-1", "top-5")
    accuracies = zip(*(result.accuracies for result in results), strict=True)
    for name, values in zip(names, accuracies, strict=True):
        yield _percent(name, values, detail)
    for feature in train.names:
        found = [result.by_feature[feature] for result in results]
        rates = ", ".join(f"rate {head.learning_rate:.1e}" for head in found)
        yield _percent(f"{names[0]}, {feature}", [head.accuracies[0] for head in found], rates)


def _percent(name: str, shares: Sequence[float], detail: str) -> Score:
    """Mean and spread over seeds."""
    percent = [100 * share for share in shares]
    return Score.over_seeds("linear probe", name, percent, "%", detail)
