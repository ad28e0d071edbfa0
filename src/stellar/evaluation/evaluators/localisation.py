"""Where a model sees the objects, without labels: argmax of L as a segmentation, and how far it
agrees with the objects' masks. Of a model without tokens, clusters of U take the place of L.

With the contingency table n_ij of two partitions of the pixels, pairs(x) = x (x - 1) / 2 and
E = sum_i pairs(a_i) sum_j pairs(b_j) / pairs(N), where a and b are the table's margins,

    ARI = (sum_ij pairs(n_ij) - E) / ((sum_i pairs(a_i) + sum_j pairs(b_j)) / 2 - E)

(Hubert and Arabie, 1985). 1 for equal partitions, 0 expected by chance. All are means over
pictures, at the masks' own resolution, as those who look for objects without labels report them:

- ARI: all pixels, of which the background is one segment.
- FG-ARI: the pixels of objects alone (Greff et al., 2019; Kipf et al., 2022, who take it over a
  whole video, where this is picture by picture).
- mBO^i: of each object the best IoU that a segment has with it, and their mean (Pont-Tuset et al.,
  2017; Seitzer et al., 2023). A segment may be the best for several; the background is no object.
- mBO^c: the same, with all objects of one class in a picture taken for one.
- mIoU: the same as mBO^i, but each segment goes to one object at most, by the matching of largest
  sum, and an object without a segment counts 0.

Pixels that are IGNORED count nowhere, not even in a union. Where objects overlap a pixel is of the
one on top, while Seitzer et al. leave it out. A picture without objects has an ARI alone.
FG-ARI is left out where no picture has two objects: of a lone one it is 1 or 0, by whether a single
segment covers it.
"""

from collections.abc import Iterator, Mapping
from statistics import fmean

import torch
import torch.nn.functional as F
from jaxtyping import Float, Float64, Int64, Integer
from torch import Tensor

from stellar.data.labelled import IGNORED, MaskedSource, MaskedSplits
from stellar.evaluation.evaluators.evaluator import Evaluator, Measure
from stellar.evaluation.features.patches import PatchBatch, Patches
from stellar.evaluation.metrics.overlap import (
    best_overlap,
    contingency,
    matched_iou,
    overlaps,
)
from stellar.evaluation.probes.kmeans import STARTS, kmeans
from stellar.evaluation.scores import Quantity, Score
from stellar.evaluation.subject import Subject

NUM_CLUSTERS = 6
"""Of k-means on U, for models without tokens."""
METRICS = ("ARI", "FG-ARI", "mBO^i", "mBO^c", "mIoU")
NEEDED = {"FG-ARI": "a test picture with masks of two objects or more"}
"""By a measure: what it cannot be told without. Others need an object."""
BATCH = 64


def agreement_of(name: str) -> Quantity:
    """One of METRICS, over the test pictures."""
    return Quantity("localisation", name, name)


def localisation(subject: Subject) -> Iterator[Score]:
    """Means of `agreement` over the test pictures in which there are objects, and of the ARI over
    all of them.
    """
    if not isinstance(subject.data, MaskedSplits):
        return
    patches, source, device = subject.test_patches, subject.data.test, subject.model.device
    has_tokens = subject.model.config.num_sparse_tokens > 0
    seeds = subject.settings.seeds
    runs = [_means(patches, source, device, seed) for seed in (seeds[:1] if has_tokens else seeds)]
    made_by = "argmax of L" if has_tokens else f"k-means on U, K = {NUM_CLUSTERS}"
    for name in METRICS:
        values = [mean for mean, _ in (run[name] for run in runs)]
        count = runs[0][name][1]
        if not count:
            needed = NEEDED.get(name, "test pictures with masks of objects")
            subject.note(f"{name} needs {needed}")
            continue
        detail = f"{made_by}; {count} pictures"
        yield Score.over_seeds(agreement_of(name), values, detail)


def _means(
    patches: Patches, source: MaskedSource, device: torch.device, seed: int
) -> dict[str, tuple[float, int]]:
    """Of each measure, its mean and the number of pictures that have it."""
    generator = torch.Generator().manual_seed(seed)
    found: dict[str, list[float]] = {name: [] for name in METRICS}
    several = False
    for rows in torch.arange(len(patches)).split(BATCH):
        maps = segment_maps(patches.read(rows.tolist(), device), generator)
        maps = maps.transpose(1, 2).unflatten(2, patches.grid)
        for row, of_picture in zip(rows.tolist(), maps, strict=True):
            masks = source.masks(int(patches.places[row]))
            height, width = masks.classes.shape
            segments = segment(of_picture[None], (height, width))[0].cpu()
            counted = masks.classes != IGNORED
            instances = masks.instances[counted]
            several = several or _are_several(instances)
            measured = agreement(instances, masks.classes[counted], segments[counted])
            for name, value in measured.items():
                found[name].append(value)
    if not several:
        found["FG-ARI"].clear()
    return {name: (fmean(values) if values else 0.0, len(values)) for name, values in found.items()}


def _are_several(instances: Integer[Tensor, " n"]) -> bool:
    """Whether these pixels are of two objects or more."""
    of_objects = instances[instances > 0]
    return len(of_objects) > 0 and bool(of_objects.min() < of_objects.max())


def segment_maps(batch: PatchBatch, generator: torch.Generator) -> Float[Tensor, "b P segments"]:
    """L, or membership in clusters of U where there is no L."""
    if batch.spatial.shape[2]:
        return batch.spatial
    return F.one_hot(kmeans(batch.dense, NUM_CLUSTERS, generator), NUM_CLUSTERS).float()


def agreement(
    instances: Integer[Tensor, " n"],
    classes: Integer[Tensor, " n"],
    segments: Integer[Tensor, " n"],
) -> Mapping[str, float]:
    """Of the pixels of one picture that count: every measure that it has. Without objects that is
    the ARI, and without pixels nothing.
    """
    if not len(instances):
        return {}
    objects = instances > 0
    found = {"ARI": adjusted_rand_index(instances[None], segments[None]).item()}
    if not objects.any():
        return found
    iou = overlaps(instances, segments)
    iou_of_classes = overlaps(torch.where(objects, classes.long() + 1, 0), segments)
    return found | {
        "FG-ARI": adjusted_rand_index(instances[objects][None], segments[objects][None]).item(),
        "mBO^i": best_overlap(iou),
        "mBO^c": best_overlap(iou_of_classes),
        "mIoU": matched_iou(iou),
    }


def segment(maps: Float[Tensor, "b k h w"], size: tuple[int, int]) -> Int64[Tensor, "b H W"]:
    """The token that explains each pixel: argmax of L, bilinear at the size of the picture."""
    smooth = F.interpolate(maps.float(), size=size, mode="bilinear", align_corners=False)
    return smooth.argmax(dim=1)


def adjusted_rand_index(
    truth: Integer[Tensor, "b *pixels"], prediction: Integer[Tensor, "b *pixels"]
) -> Float64[Tensor, " b"]:
    """ARI of two segmentations of each image; labels are any integers from 0.

    Two partitions of one segment each, or of single pixels each, are equal: 1.
    """
    table = contingency(truth.flatten(1), prediction.flatten(1))
    together = _pairs(table).sum(dim=(1, 2))
    in_truth = _pairs(table.sum(dim=2)).sum(dim=1)
    in_prediction = _pairs(table.sum(dim=1)).sum(dim=1)
    expected = in_truth * in_prediction / _pairs(table.sum(dim=(1, 2))).clamp_min(1)
    margin = (in_truth + in_prediction) / 2 - expected
    equal = (together == in_truth) & (together == in_prediction)
    score = (together - expected) / torch.where(equal, 1.0, margin)
    return torch.where(equal, 1.0, score)


def _pairs(count: Float64[Tensor, "*shape"]) -> Float64[Tensor, "*shape"]:
    return count * (count - 1) / 2


ARI = Measure("ARI", "argmax of L against the objects", (agreement_of("ARI"),))
LOCALISATION = Evaluator(
    "localisation",
    "argmax of L, enlarged bilinearly to the masks, against the objects; without tokens, k-means "
    f"on U of each picture, K = {NUM_CLUSTERS}, cosine, best of {STARTS} starts; ARI of all "
    "pixels; FG-ARI of those of objects; mBO^i, the best IoU of a segment with each object, and "
    "mBO^c, with all objects of a class as one; mIoU under the best one-to-one (Hungarian) "
    "matching of segments to objects; means over pictures, ignored pixels count nowhere",
    localisation,
    quantities=tuple(map(agreement_of, METRICS)),
    headline=(ARI,),
)
