"""What S and L each know: the material, place, shape (its digit) and size of the objects of the
embedded scenes, beside the dense features that both were made from.

S should know what and not where, L the opposite.
"""

from collections.abc import Iterator

from stellar.data.cutouts import Cutouts
from stellar.evaluation.features.scenes import collect
from stellar.evaluation.probes.objects import probe_matrix
from stellar.evaluation.scores import Score
from stellar.evaluation.subject import Subject

MAX_SCENES = 1000
"""Scenes that the probes learn from, and scenes that they are tested on; the first ones."""

_PROBES = {"knn": "kNN", "linear": "linear"}


def factorization(subject: Subject) -> Iterator[Score]:
    """The matrix of features, labels and probes, on scenes alone: a share of the objects each."""
    train, test = subject.data.train, subject.data.test
    if not (isinstance(train, Cutouts) and isinstance(test, Cutouts)):
        return
    objects, heldout = (
        collect(subject.model, scenes, range(min(MAX_SCENES, len(scenes))))
        for scenes in (train, test)
    )
    for score in probe_matrix(objects, heldout):
        yield Score(
            "factorization",
            f"{score.feature} to {score.label}, {_PROBES[score.probe]}",
            score.accuracy,
            detail=f"{len(heldout)} objects",
            chance=score.chance,
        )
