"""Which class a model's features give to every pixel: BatchNorm and a linear layer on U; the same
on Z, which is all that L and S can say; and tokens, each classified and painted with L.

Scores of classes are enlarged bilinearly to each mask's own resolution, and the pixels of all
pictures are counted in one confusion matrix.
"""

import math
from collections.abc import Callable, Hashable, Iterator, Mapping
from typing import TypeVar

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from stellar.data.labelled import MaskedSource, MaskedSplits
from stellar.evaluation.evaluators.evaluator import Evaluator, Measure
from stellar.evaluation.evaluators.localisation import segment
from stellar.evaluation.features.patches import PatchBatch, Patches, stacked_masks
from stellar.evaluation.metrics.confusion import confusion_matrix, mean_iou, pixel_accuracy
from stellar.evaluation.probes.holdout import hold_out, num_steps, shuffled
from stellar.evaluation.probes.patch_heads import (
    BATCH,
    LEARNING_RATES,
    BatchNorm,
    Feature,
    PatchHeads,
    fit_norm,
    together,
    train_heads,
)
from stellar.evaluation.scores import Quantity, Score
from stellar.evaluation.subject import Subject

Name = TypeVar("Name", bound=Hashable)
NAMES: Mapping[Feature, str] = {"U": "U", "Z": "Z", "tokens": "tokens painted with L"}
METRICS: Mapping[str, Callable[[Tensor], float]] = {
    "mIoU": mean_iou,
    "pixel accuracy": pixel_accuracy,
}


def quality(metric: str, feature: Feature) -> Quantity:
    """How well the classes of pixels are named from a feature."""
    judged = "S and L" if feature == "tokens" else feature
    return Quantity("segmentation", f"{metric}, {NAMES[feature]}", metric, judged, unit="%")


def segmentation(subject: Subject) -> Iterator[Score]:
    """mIoU and pixel accuracy from U, Z and painted tokens; from U alone without tokens."""
    if not isinstance(subject.data, MaskedSplits):
        return
    steps = num_steps(len(subject.train_patches), subject.settings.epochs, BATCH)
    subject.note_steps("the head of segmentation", steps)
    features: tuple[Feature, ...] = ("U", "Z", "tokens")
    if not subject.model.config.num_sparse_tokens:
        features = ("U",)
    heads: dict[Feature, PatchHeads] = {}
    chosen_rates: dict[Feature, list[float | None]] = {}
    for feature in features:
        heads[feature], chosen_rates[feature] = _fit(feature, subject)
    confusions = count_pixels(
        {feature: of_feature.scores for feature, of_feature in heads.items()},
        subject.test_patches,
        subject.data.test,
        subject.model.device,
    )
    for feature in features:
        occurring = (confusions[feature][0].sum(dim=1) > 0).sum().item()
        if not occurring:
            subject.note("segmentation needs test pictures whose masks name a class")
            return
        rates = chosen_rates[feature]
        chosen = ", ".join("not chosen" if rate is None else f"{rate:.0e}" for rate in rates)
        detail = f"learning rate {chosen}; {occurring} classes in the test pictures"
        for metric, measure in METRICS.items():
            values = [100 * measure(confusion) for confusion in confusions[feature]]
            yield Score.over_seeds(quality(metric, feature), values, detail)


def _fit(feature: Feature, subject: Subject) -> tuple[PatchHeads, list[float | None]]:
    """A head for each seed, and the learning rates that they were chosen with."""
    settings = subject.settings
    heads, rates = [], []
    for seed in settings.seeds:
        subject.progress(f"{subject.name}, heads on {feature}", len(heads), settings.num_seeds)
        head, rate = head_on(feature, subject, seed)
        heads.append(head)
        rates.append(rate)
    return together(heads), rates


def head_on(feature: Feature, subject: Subject, seed: int) -> tuple[PatchHeads, float | None]:
    """`fit_head` on the training pictures, once for each seed; a note where no rate was chosen."""
    head, rate = subject.once(
        ("head", feature, seed),
        lambda: fit_head(
            feature,
            norm_of(feature, subject),
            subject.train_patches,
            subject.settings.epochs,
            seed,
        ),
    )
    if rate is None:
        subject.note(
            f"segmentation took the learning rate {LEARNING_RATES[0]:.0e} where the training "
            "pictures that are to choose it have no mask that names a class; more of them help"
        )
    return head, rate


def norm_of(feature: Feature, subject: Subject) -> BatchNorm:
    """Mean and variance over the training pictures, fitted once."""
    return subject.once(
        ("norm", feature), lambda: fit_norm(feature, subject.train_patches, subject.model.device)
    )


def fit_head(
    feature: Feature, norm: BatchNorm, patches: Patches, epochs: int, seed: int
) -> tuple[PatchHeads, float | None]:
    """The head, and its learning rate, of the highest mIoU on a tenth of the training pictures that
    no head was trained on. A lone picture is both. Where they have no pixel that counts, the head
    of the first rate, and None.
    """
    generator = torch.Generator().manual_seed(seed)
    heldout, fitted = hold_out(len(patches), generator)
    batches = [rows.tolist() for rows in shuffled(fitted, epochs, BATCH, generator)]
    heads = train_heads(feature, norm, patches, batches)
    scores = [mean_iou(confusion) for confusion in patch_confusions(heads, patches, heldout)]
    if all(map(math.isnan, scores)):
        return heads.only(0), None
    best = max(range(len(scores)), key=scores.__getitem__)
    return heads.only(best), LEARNING_RATES[best]


@torch.no_grad()
def patch_confusions(
    heads: PatchHeads, patches: Patches, rows: Int64[Tensor, " n"]
) -> Float64[Tensor, "r c c"]:
    """A confusion matrix for each head on these pictures; every pixel takes its patch's class, and
    counts as a share of its patch.
    """
    layers, classes = heads.bias.shape
    found = torch.zeros(layers, classes, classes, dtype=torch.float64, device=heads.bias.device)
    for part in rows.split(BATCH):
        batch = patches.read(part.tolist(), heads.bias.device)
        named = heads.scores(batch).argmax(dim=3).flatten(0, 1)
        for layer in range(layers):
            by_prediction = batch.shares.new_zeros(classes, classes, dtype=torch.float64)
            by_prediction.index_add_(0, named[:, layer], batch.shares.flatten(0, 1).double())
            found[layer] += by_prediction.T
    return found.cpu()


@torch.no_grad()
def count_pixels(
    scores_of: Mapping[Name, Callable[[PatchBatch], Float[Tensor, "b P r c"]]],
    patches: Patches,
    source: MaskedSource,
    device: torch.device,
) -> dict[Name, Int64[Tensor, "r c c"]]:
    """Confusion matrices over all test pictures, from what each of several functions says of the
    classes of their patches, r times.
    """
    num_classes, found = patches.num_classes, {}
    for rows in torch.arange(len(patches)).split(BATCH):
        batch = patches.read(rows.tolist(), device)
        maps = {
            name: scores(batch).permute(2, 0, 3, 1).unflatten(3, patches.grid)
            for name, scores in scores_of.items()
        }
        places = patches.places[rows.numpy()].tolist()
        for some, truth in stacked_masks(source, places, num_classes):
            truth, (_, height, width) = truth.to(device), truth.shape
            for name, by_layer in maps.items():
                named = [segment(scores[some], (height, width)) for scores in by_layer]
                counted = [confusion_matrix(truth, each, num_classes).cpu() for each in named]
                found[name] = found.get(name, 0) + torch.stack(counted)
    return found


MIOU_U = Measure("mIoU of U", "segmentation, linear on patches", (quality("mIoU", "U"),))
MIOU_Z = Measure(
    "mIoU of Z", "linear on what is drawn from",
    (quality("mIoU", "Z"), quality("mIoU", "U")),
)  # fmt: skip
MIOU_TOKENS = Measure(
    "mIoU of S and L", "tokens named, painted with L", (quality("mIoU", "tokens"),)
)
SEGMENTATION = Evaluator(
    "segmentation",
    "BatchNorm (statistics of the training set) and a linear layer on U, on Z, and on tokens whose "
    "classes L paints; 6 learning rates from 1e-3 to 3e-1 trained at the same time, chosen by mIoU "
    "on a tenth of the training pictures; enlarged bilinearly to the masks, one confusion matrix; "
    "mIoU is the mean over classes that occur in truth or prediction",
    segmentation,
    quantities=tuple(quality(metric, feature) for feature in NAMES for metric in METRICS),
    headline=(MIOU_U, MIOU_TOKENS),
)
