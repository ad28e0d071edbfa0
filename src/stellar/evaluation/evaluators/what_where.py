"""What S and L each know: the material, place, shape (its digit) and size of the objects of the
embedded scenes, beside the dense features that both were made from.

S should know what and not where, L the opposite.
"""

from collections.abc import Iterator

from stellar.data.cutouts import Cutouts
from stellar.evaluation.evaluators.evaluator import Evaluator, Measure, Row
from stellar.evaluation.features.scenes import collect
from stellar.evaluation.probes.objects import FEATURES, LABELS, NUM_NEIGHBOURS, PROBES, probe_matrix
from stellar.evaluation.scores import Quantity, Score
from stellar.evaluation.subject import Subject

MAX_SCENES = 1000
"""Scenes that the probes learn from, and scenes that they are tested on; the first ones."""
LETTERS = {"S": "S", "L": "L", "dense": "U"}
"""The paper's symbols of FEATURES."""


def accuracy(feature: str, label: str, probe: str) -> Quantity:
    """How often a probe on one of FEATURES names an object's label rightly, as a share."""
    return Quantity(
        "factorization", f"{feature} to {label}, {probe}", "accuracy",
        feature=LETTERS[feature], label=label, probe=probe, digits=".2f", baseline="chance",
    )  # fmt: skip


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
            accuracy(score.feature, score.label, score.probe),
            score.accuracy,
            f"{len(heldout)} objects",
            baseline=score.chance,
        )


def _knows(who: str, feature: str, label: str, lower_is_better: bool = False) -> Measure:
    quantity = accuracy(feature, label, "kNN")
    return Measure(who, quantity.name, (quantity,), lower_is_better)


S_KNOWS_WHAT = _knows("S knows what", "S", "material")
S_FORGETS_WHERE = _knows("S forgets where", "S", "place", lower_is_better=True)
L_KNOWS_WHERE = _knows("L knows where", "L", "place")
U_KNOWS_WHAT = _knows("U knows what", "dense", "material")
_ROWS = tuple(
    Row(f"{feature} to {label}", tuple(accuracy(feature, label, probe) for probe in PROBES))
    for label in LABELS
    for feature in FEATURES
)
FACTORIZATION = Evaluator(
    "factorization",
    "share of the objects of test scenes that are named rightly from the token that explains them; "
    f"probes learn from training scenes (kNN of {NUM_NEIGHBOURS}, logistic regression); chance is "
    "the share of the largest class",
    factorization,
    quantities=tuple(quantity for row in _ROWS for quantity in row.quantities),
    rows=_ROWS,
    headline=(S_KNOWS_WHAT, S_FORGETS_WHERE, L_KNOWS_WHERE),
    caption=f"factorization: share of objects named rightly, {' / '.join(PROBES)}",
)
