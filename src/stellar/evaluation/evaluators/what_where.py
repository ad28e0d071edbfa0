"""What S and L each know of the objects of pictures with masks: their class, colour, place and
size, beside Z and U pooled over the object, and beside its mean colour, which needs no model.

S should know what and not where, L the opposite. Where colour alone names the class as well, S has
shown nothing by naming it.
"""

from collections.abc import Iterator
from importlib.util import find_spec

from stellar.data.folder import evenly_spread
from stellar.data.labelled import MaskedSplits
from stellar.evaluation.evaluators.evaluator import Evaluator, Measure, Row
from stellar.evaluation.features import objects
from stellar.evaluation.features.objects import ENOUGH, FEATURES, collect
from stellar.evaluation.probes.objects import LABELS, NUM_NEIGHBOURS, PROBES, probe_matrix
from stellar.evaluation.scores import Quantity, Score
from stellar.evaluation.subject import Subject

MOST_PICTURES = 1000
"""Pictures whose objects the probes learn from, and as many to test on, evenly spread."""


def accuracy(feature: str, label: str, probe: str) -> Quantity:
    """How often a probe on one of FEATURES names an object's label rightly, as a share."""
    return Quantity(
        "factorization", f"{feature} to {label}, {probe}", "accuracy",
        feature=feature, label=label, probe=probe, digits=".2f", baseline="chance",
    )  # fmt: skip


NUM_TOKENS = Quantity("factorization", objects.NUM_TOKENS, objects.NUM_TOKENS, "L")
PURITY = Quantity("factorization", "purity of its token", objects.PURITY, "L", digits=".2f")


def factorization(subject: Subject) -> Iterator[Score]:
    """The matrix of features, labels and probes, a share of the objects each; and how whole objects
    are: how many tokens they take, and how much of their token's map lies on them.
    """
    if not isinstance(subject.data, MaskedSplits):
        return
    train, test = (
        collect(patches, source, evenly_spread(patches, MOST_PICTURES))
        for patches, source in (
            (subject.train_patches, subject.data.train),
            (subject.test_patches, subject.data.test),
        )
    )
    if not len(train) or not len(test):
        subject.note("what and where needs pictures with masks of objects to learn from and to ask")
        return
    detail, probes = f"{len(test)} objects", PROBES
    if find_spec("sklearn") is None:
        subject.note(
            'the linear probe of objects needs scikit-learn: pip install "stellar-vision[demo]"'
        )
        probes = ("kNN",)
    for score in probe_matrix(train, test, probes):
        quantity = accuracy(score.feature, score.label, score.probe)
        yield Score(quantity, score.accuracy, detail, baseline=score.chance)
    for quantity in (NUM_TOKENS, PURITY):
        if quantity.metric in test.wholeness:
            yield Score(quantity, test.wholeness[quantity.metric].mean().item(), detail)


def _knows(who: str, feature: str, label: str, lower_is_better: bool = False) -> Measure:
    quantity = accuracy(feature, label, "kNN")
    return Measure(who, quantity.name, (quantity,), lower_is_better)


S_KNOWS_WHAT = _knows("S knows what", "S", "class")
Z_KNOWS_WHAT = _knows("Z knows what", "Z", "class")
S_FORGETS_WHERE = _knows("S forgets where", "S", "place", lower_is_better=True)
L_KNOWS_WHERE = _knows("L knows where", "L", "place")
U_KNOWS_WHAT = _knows("U knows what", "U", "class")
COLOUR_SAYS_WHAT = _knows("Colour alone", "colour", "class")
_ROWS = tuple(
    Row(f"{feature} to {label}", tuple(accuracy(feature, label, probe) for probe in PROBES))
    for label in LABELS
    for feature in FEATURES
)
FACTORIZATION = Evaluator(
    "factorization",
    "share of the objects of test pictures that are named rightly: S and L are those of the token "
    "with most of the object's mass, Z and U are pooled over its mask, colour is the mean under it "
    "and colours that and its spread, which need no model; probes learn from the objects of "
    f"training pictures (kNN of {NUM_NEIGHBOURS}, logistic regression), of {MOST_PICTURES:,} "
    "pictures at most; chance is the share of the largest class; an object needs the tokens that "
    f"hold {ENOUGH:.0%} of its mass, and its token is pure where its map lies on it",
    factorization,
    quantities=(*(quantity for row in _ROWS for quantity in row.quantities), NUM_TOKENS, PURITY),
    rows=(*_ROWS, Row(NUM_TOKENS.name, (NUM_TOKENS,)), Row(PURITY.name, (PURITY,))),
    headline=(S_KNOWS_WHAT, Z_KNOWS_WHAT, COLOUR_SAYS_WHAT, S_FORGETS_WHERE, L_KNOWS_WHERE),
    caption=f"factorization: share of objects named rightly, {' / '.join(PROBES)}",
)
