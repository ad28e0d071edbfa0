"""What all patches of U and all tokens of S know of a picture's class, read by a learned query:
the attentive probe, which sees what a mean over patches hides.

All vectors lie on the disk meanwhile, 2 (P + K) D bytes a picture: 326 kB for B/16 at 224 px, and
0.42 TB for the training and test pictures of ImageNet. So it is off by default.
"""

from collections.abc import Iterator

from stellar.data.labelled import Splits
from stellar.evaluation.evaluators.evaluator import Evaluator
from stellar.evaluation.features.pictures import SETS
from stellar.evaluation.probes.attentive import BATCH, WEIGHT_DECAY, attentive_probe
from stellar.evaluation.probes.holdout import num_steps
from stellar.evaluation.scores import Quantity, Score
from stellar.evaluation.subject import Subject

TEST = "attentive probe"


def attentive(metric: str, feature: str) -> Quantity:
    """Accuracy of the attentive probe on all vectors of U or S."""
    return Quantity(TEST, f"{metric}, {feature}", metric, feature, probe="attentive", unit="%")


def attention(subject: Subject) -> Iterator[Score]:
    """Top-1, or mean average precision where pictures have several classes, for U and S; none
    unless `attentive` is set.
    """
    data, settings = subject.data, subject.settings
    if not settings.attentive:
        return
    if not isinstance(data, Splits):
        subject.note("the attentive probe needs pictures with labels; these have masks")
        return
    train, test = subject.train, subject.test
    subject.note_steps("the attentive probe", num_steps(len(train.labels), settings.epochs, BATCH))
    metric = "mAP" if data.multi_label else "top-1"
    for feature in train.sets:
        results = []
        for seed in settings.seeds:
            done = f"{subject.name}, attentive probe of {feature}"
            subject.progress(done, len(results), settings.num_seeds)
            results.append(
                attentive_probe(
                    train.vectors(feature), train.labels, test.vectors(feature), test.labels,
                    len(data.classes), subject.model.device, epochs=settings.epochs, seed=seed,
                )
            )  # fmt: skip
        rates = ", ".join(f"rate {result.learning_rate:.0e}" for result in results)
        shares = [100 * result.accuracy for result in results]
        yield Score.over_seeds(attentive(metric, feature), shares, rates)


ATTENTIVE_PROBE = Evaluator(
    TEST,
    "a learned query that attends to all patches of U or all tokens of S, in heads of 64 channels, "
    "and a linear layer, as in CAPI's benchmark; 10 learning rates from 1e-5 to 1e-2 trained at "
    f"the same time, AdamW with weight decay {WEIGHT_DECAY:.0e}, batches of {BATCH}, the rate "
    "chosen on a tenth of the training pictures. Unlike there, one weight decay instead of three, "
    "and features of centred squares that are made once, not of random crops",
    attention,
    quantities=tuple(attentive(metric, feature) for metric in ("top-1", "mAP") for feature in SETS),
)
