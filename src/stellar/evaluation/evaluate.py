"""Models side by side on the same pictures: what their features know, where they know it, what
they draw again, and what they cost.

Every evaluator yields the scores of a subject (a model on data), and none where the data or the
model has nothing for it. Nothing is chosen on the test pictures.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from stellar.config import DecoderConfig, EvaluationConfig
from stellar.data.folder import Listed
from stellar.data.labelled import MaskedSplits, Splits
from stellar.errors import UserError
from stellar.evaluation.evaluators import BY_PROTOCOL
from stellar.evaluation.evaluators.published.crops import seen
from stellar.evaluation.probes.objects import largest_class_share
from stellar.evaluation.scores import Evaluation, ModelScores
from stellar.evaluation.subject import Progress, Subject, silent
from stellar.images import preprocessing
from stellar.model import Stellar
from stellar.model.files.fingerprint import fingerprint
from stellar.quantities import counted

FEW = 100
"""Test pictures below which a note says how little their numbers say: from there on the standard
error of a share is at most 5 points.
"""


def evaluate(
    models: Mapping[str, Stellar],
    data: Splits | MaskedSplits,
    folder: str | Path,
    settings: EvaluationConfig | None = None,
    progress: Progress = silent,
    decoder: DecoderConfig | None = None,
) -> Evaluation:
    """Every test of `settings.protocol` on every model. Features lie in a hidden part of `folder`
    while it runs.

    `decoder` is the one that is trained on frozen features; by default the paper's, 6 layers of
    512. Raises UserError for a `metric_weights` that is no folder.
    """
    settings = settings or EvaluationConfig()
    weights = settings.metric_weights
    if weights is not None and not weights.is_dir():
        raise UserError(f"--metric-weights names the folder of the weights, but {weights} is none")
    decoder = decoder or DecoderConfig(target="pixels")
    found = []
    for name, model in models.items():
        with TemporaryDirectory(dir=folder, prefix=".features-") as cache:
            subject = Subject(name, model, data, settings, Path(cache), decoder, progress)
            found.append(_scores(subject))
    made = {score.quantity.test for model in found for score in model.scores}
    protocol = {
        each.name: each.protocol for each in BY_PROTOCOL[settings.protocol] if each.name in made
    }
    return Evaluation(
        data=data.description,
        num_train=len(data.train),
        num_test=len(data.test),
        classes=data.classes,
        chance=_chance(data),
        protocol=protocol | settings.in_words,
        models=tuple(found),
        fingerprint=fingerprint_of(data),
    )


def fingerprint_of(data: Splits | MaskedSplits) -> str:
    """Tells other pictures, or other labels of them, apart, as far as their sources can: by names,
    and by some looks at files.
    """
    digest = hashlib.sha256(repr((data.description, data.classes)).encode())
    for source in (data.train, data.test):
        if isinstance(source, Listed):
            digest.update(source.fingerprint().encode())
        else:
            digest.update(repr([source.name(index) for index in range(len(source))]).encode())
    return digest.hexdigest()


def _chance(data: Splits | MaskedSplits) -> float | None:
    """The share of the largest class, where each test picture has one."""
    if isinstance(data, Splits) and not data.multi_label:
        return largest_class_share(torch.from_numpy(data.test.labels))
    return None


def _scores(subject: Subject) -> ModelScores:
    """Every test on one model."""
    settings, config = subject.settings, subject.model.config
    evaluators = BY_PROTOCOL[settings.protocol]
    scores = tuple(score for evaluator in evaluators for score in evaluator.scores(subject))
    if (count := len(subject.data.test)) < FEW:
        subject.note(
            f"a share of only {counted(count, 'test picture')} is uncertain by some "
            f"{50 / count**0.5:.0f} points, whatever its spread over seeds is; {FEW} or more tell "
            "more"
        )
    if isinstance(subject.data, MaskedSplits):
        for note in subject.data.notes:
            subject.note(note)
    published = settings.protocol == "published"
    return ModelScores(
        name=subject.name,
        sha256=fingerprint(subject.model),
        preprocessing=seen(config) if published else preprocessing(subject.fit, config),
        num_unreadable=sum(subject.num_unreadable.values()),
        scores=scores,
        notes=tuple(subject.notes),
    )
