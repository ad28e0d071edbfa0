"""What cls, S and U know of a picture's class: kNN and linear probes on the cached features."""

from collections.abc import Iterator
from statistics import fmean, stdev

from stellar.evaluation.knn import knn_accuracy
from stellar.evaluation.linear import linear_probe
from stellar.evaluation.scores import Score
from stellar.evaluation.subject import Subject


def neighbours(subject: Subject) -> Iterator[Score]:
    """kNN accuracy of every feature, for every k."""
    train, test = subject.train, subject.test
    for feature in train.names:
        accuracy = knn_accuracy(
            train.tensor(feature), train.labels, test.tensor(feature), test.labels
        )
        for k, value in accuracy.items():
            yield Score("kNN", f"{feature}, k = {k}", 100 * value, "%")


def probe(subject: Subject) -> Iterator[Score]:
    """Top-1 and top-5 of the linear probe that does best on held-out training pictures."""
    train, test, settings = subject.train, subject.test, subject.settings
    results = [
        linear_probe(
            {name: train.tensor(name) for name in train.names}, train.labels,
            {name: test.tensor(name) for name in test.names}, test.labels,
            len(subject.data.classes), epochs=settings.epochs, seed=seed,
        )
        for seed in settings.seeds
    ]  # fmt: skip
    chosen = "; ".join(f"{r.feature}, rate {r.learning_rate:.1e}" for r in results)
    for name, values in (
        ("top-1", [r.top1 for r in results]),
        ("top-5", [r.top5 for r in results]),
    ):
        percent = [100 * value for value in values]
        spread = stdev(percent) if len(percent) > 1 else None
        yield Score("linear probe", name, fmean(percent), "%", chosen, spread)
