"""Which class a patch has by its nearest neighbours among training patches, on U and on Z: what
features tell of classes when nothing is fitted to them.
"""

from collections.abc import Iterator, Mapping

import torch
import torch.nn.functional as F
from jaxtyping import Int64
from torch import Tensor

from stellar.data.labelled import MaskedSource, MaskedSplits
from stellar.evaluation.evaluators.evaluator import Evaluator, Row
from stellar.evaluation.evaluators.segmentation import norm_of
from stellar.evaluation.features.patches import Patches, stacked_masks
from stellar.evaluation.metrics.confusion import confusion_matrix, mean_iou
from stellar.evaluation.probes.patch_bank import BATCH, PatchBank, fill_bank
from stellar.evaluation.probes.patch_heads import Feature
from stellar.evaluation.scores import Quantity, Score
from stellar.evaluation.subject import Subject

FEATURES: tuple[Feature, ...] = ("U", "Z")
KS = (1, 3, 10, 30)
"""Numbers of neighbours that vote."""


def quality(feature: Feature, k: int) -> Quantity:
    """mIoU of the classes that k neighbours vote for."""
    return Quantity(
        "kNN segmentation", f"mIoU, {feature}, k = {k}", "mIoU", feature, probe="kNN", k=k, unit="%"
    )


def nearest_patches(subject: Subject) -> Iterator[Score]:
    """mIoU for every k, on U, and on Z if there are tokens."""
    if not isinstance(subject.data, MaskedSplits):
        return
    patches, settings = subject.train_patches, subject.settings
    has_tokens = subject.model.config.num_sparse_tokens > 0
    for feature in FEATURES if has_tokens else FEATURES[:1]:
        subject.progress(f"{subject.name}, kNN segmentation on {feature}", 0, 1)
        norm = norm_of(feature, subject)
        bank = fill_bank(feature, norm, patches, settings.num_voting, settings.seed)
        if not len(bank.labels):
            subject.note("kNN segmentation needs training pictures whose masks name a class")
            return
        detail = f"{len(bank.labels):,} training patches"
        for k, confusion in count_pixels(bank, subject.test_patches, subject.data.test).items():
            if not confusion.any():
                subject.note("kNN segmentation needs test pictures whose masks name a class")
                return
            yield Score(quality(feature, k), 100 * mean_iou(confusion), detail)


@torch.no_grad()
def count_pixels(
    bank: PatchBank, patches: Patches, source: MaskedSource
) -> Mapping[int, Int64[Tensor, "c c"]]:
    """For each k the confusion matrix over all test pictures; a pixel takes the class of the patch
    that its centre is in.
    """
    num_classes, device = patches.num_classes, bank.labels.device
    found = {k: torch.zeros(num_classes, num_classes, dtype=torch.int64) for k in KS}
    for rows in torch.arange(len(patches)).split(BATCH):
        named = bank.named(patches.read(rows.tolist(), device), KS)
        maps = {k: classes.unflatten(1, patches.grid).byte().cpu() for k, classes in named.items()}
        for some, truth in stacked_masks(source, patches.places[rows.numpy()].tolist(), len(KS)):
            size = truth.shape[1:]
            for k, of_pictures in maps.items():
                pixels = F.interpolate(of_pictures[some, None], size, mode="nearest-exact")[:, 0]
                found[k] += confusion_matrix(truth, pixels, num_classes)
    return found


KNN_SEGMENTATION = Evaluator(
    "kNN segmentation",
    "the training patches of highest cosine have a vote each for the class of a patch, on U and on "
    "Z with mean 0 and variance 1 over training patches; a training patch has the class of most of "
    "its pixels that count, a test pixel that of its patch; those that vote are drawn with the "
    "first seed; one confusion matrix; mIoU is the mean over classes that occur in truth or "
    "prediction",
    nearest_patches,
    quantities=tuple(quality(feature, k) for feature in FEATURES for k in KS),
    rows=tuple(
        Row(
            f"mIoU, {feature}, k = {' / '.join(map(str, KS))}",
            tuple(quality(feature, k) for k in KS),
        )
        for feature in FEATURES
    ),
)
