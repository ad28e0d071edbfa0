"""Models side by side on the same pictures: what their features know, where they know it, what
they draw again, and what they cost.

A test is a function: given a `Subject`, it yields `Score`s, and none where the data or the model
has nothing for it. Nothing is chosen on the test pictures.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from stellar.config import DecoderConfig, EvaluationConfig
from stellar.data.labelled import MaskedSplits, Splits
from stellar.evaluation.evaluators.classification import neighbours, probe
from stellar.evaluation.evaluators.equivariance import equivariance
from stellar.evaluation.evaluators.frozen_decoder import frozen_reconstruction
from stellar.evaluation.evaluators.localisation import NUM_CLUSTERS, localisation
from stellar.evaluation.evaluators.reconstruction import reconstruction
from stellar.evaluation.evaluators.segmentation import segmentation
from stellar.evaluation.evaluators.size_and_speed import cost
from stellar.evaluation.evaluators.what_where import factorization
from stellar.evaluation.probes.kmeans import STARTS
from stellar.evaluation.probes.knn import TEMPERATURE
from stellar.evaluation.probes.objects import largest_class_share
from stellar.evaluation.scores import Evaluation, ModelScores, Score
from stellar.evaluation.subject import Progress, Subject, silent
from stellar.images import preprocessing
from stellar.model import Backbone, Stellar
from stellar.model.files.saving import fingerprint

Test = Callable[[Subject], Iterator[Score]]
TESTS: tuple[Test, ...] = (
    neighbours, probe, segmentation, localisation, reconstruction, frozen_reconstruction,
    factorization, equivariance, cost,
)  # fmt: skip
PROTOCOL = {
    "kNN": f"cosine, votes weighted by exp(cosine / {TEMPERATURE}), top-1 on the test pictures",
    "linear probe": "LayerNorm and a linear layer, 12 learning rates from 1e-5 to 1e-2 trained at "
    "the same time; rate, and the feature of the first numbers, chosen on a tenth of the training "
    "pictures; where pictures have several classes, by binary cross-entropy, and mAP is the mean "
    "over the classes that test pictures have",
    "segmentation": "BatchNorm (statistics of the training set) and a linear layer on U, on Z, and "
    "on tokens whose classes L paints; 6 learning rates from 1e-3 to 3e-1 trained at the same "
    "time, chosen by mIoU on a tenth of the training pictures; enlarged bilinearly to the masks, "
    "one confusion matrix; mIoU is the mean over classes that occur in truth or prediction",
    "localisation": "argmax of L, enlarged bilinearly to the masks, against the objects; without "
    f"tokens, k-means on U of each picture, K = {NUM_CLUSTERS}, cosine, best of {STARTS} starts; "
    "ARI of all pixels and of those of objects, best IoU of a segment with each object, and IoU "
    "under the best one-to-one matching, in which the background takes no part; means over "
    "pictures",
    "reconstruction": "test pictures, evenly spread, drawn from Z: mean PSNR, SSIM (window 11, "
    "sigma 1.5) and LPIPS; Frechet distances between pictures and drawings as two sets; a decoder "
    "on frozen features has 6 layers, trained on Z of ours and U of others, the same steps for all",
    "factorization": "share of the objects of test scenes that are named rightly from the token "
    "that explains them; probes learn from training scenes (kNN of 20, logistic regression)",
    "equivariance": "S: mean cosine of every token to its nearest in the changed picture; L: mean "
    "IoU of their argmax maps, after the change is undone",
    "cost": "numbers for an image at the model's image size; encoding in batches of 64",
}
"""How the scores of each test are made, in words."""


def evaluate(
    models: Mapping[str, Stellar | Backbone],
    data: Splits | MaskedSplits,
    folder: str | Path,
    settings: EvaluationConfig | None = None,
    progress: Progress = silent,
    decoder: DecoderConfig | None = None,
) -> Evaluation:
    """Every test on every model. Features lie in a hidden part of `folder` while it runs.

    `decoder` is the one that is trained on frozen features; by default the paper's, 6 layers of
    512.
    """
    settings = settings or EvaluationConfig()
    decoder = decoder or DecoderConfig(target="pixels")
    found = []
    for name, model in models.items():
        with TemporaryDirectory(dir=folder, prefix=".features-") as cache:
            subject = Subject(name, model, data, settings, Path(cache), decoder, progress)
            found.append(_scores(subject))
    made = {score.test for model in found for score in model.scores}
    return Evaluation(
        data=data.description,
        num_train=len(data.train),
        num_test=len(data.test),
        classes=data.classes,
        chance=_chance(data),
        protocol={name: how for name, how in PROTOCOL.items() if name in made} | settings.protocol,
        models=tuple(found),
    )


def _chance(data: Splits | MaskedSplits) -> float | None:
    """The share of the largest class, where each test picture has one."""
    if isinstance(data, Splits) and not data.multi_label:
        return largest_class_share(torch.from_numpy(data.test.labels))
    return None


def _scores(subject: Subject) -> ModelScores:
    """Every test on one model."""
    scores = tuple(score for test in TESTS for score in test(subject))
    if isinstance(subject.data, Splits):
        features = (subject.train, subject.test)
    else:
        features = (subject.train_patches, subject.test_patches)
    return ModelScores(
        name=subject.name,
        sha256=fingerprint(subject.model),
        preprocessing=preprocessing(subject.fit, subject.model.config),
        num_unreadable=sum(len(part.unreadable) for part in features),
        scores=scores,
        notes=tuple(subject.notes),
    )
