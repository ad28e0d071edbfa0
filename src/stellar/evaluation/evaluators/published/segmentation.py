"""The published segmentation probe: BatchNorm and a 1 x 1 convolution on the dense grid, scored on
that grid, 14 x 14 at 224 px, never at the picture's own resolution.

    loss = cross-entropy + 1 - mean_c (2 sum p_c t_c + 1) / (sum p_c + sum t_c + 1)

The label of a patch is that of its upper left pixel, as the published code shrinks its masks.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32, Int64, UInt8
from torch import Tensor, nn
from torch.utils.data import Dataset

from stellar.config import ModelConfig
from stellar.data.labelled import IGNORED, MaskedSource, MaskedSplits
from stellar.data.labelled.class_names import ADE20K
from stellar.data.labelled.masked import BACKGROUND
from stellar.data.loader import loaded
from stellar.evaluation.evaluators.evaluator import Evaluator, Measure
from stellar.evaluation.evaluators.published.crops import CentreCrops, RandomCrops, nearest_pixels
from stellar.evaluation.evaluators.published.steps import (
    CLIPPING,
    WEIGHT_DECAY,
    Steps,
    budget,
    epochs_of,
    readable,
)
from stellar.evaluation.metrics.confusion import confusion_matrix, mean_iou, pixel_accuracy
from stellar.evaluation.scores import Quantity, Score
from stellar.evaluation.subject import Subject
from stellar.images import InputError, Pixels, one_batch
from stellar.precision import inference

TEST = "published segmentation"
EPOCHS, BATCH, RATE = 80, 2048, 1e-4
SCALE, SCALE_ADE20K = (0.5, 1.0), (0.25, 1.0)
METRICS = {"mIoU": mean_iou, "pixel accuracy": pixel_accuracy}


def quality(metric: str) -> Quantity:
    """How well the classes of patches are named from U."""
    return Quantity(TEST, f"{metric}, U", metric, "U", unit="%")


def published_segmentation(subject: Subject) -> Iterator[Score]:
    """mIoU and accuracy over patches after the last epoch."""
    data, settings = subject.data, subject.settings
    if not isinstance(data, MaskedSplits):
        return
    if num_counted(data.classes) < 2:
        subject.note(f"{TEST} needs masks of 2 classes or more beside the {BACKGROUND}")
        return
    values: dict[str, list[float]] = {metric: [] for metric in METRICS}
    occurring = 0
    for seed in settings.seeds:
        confusion = count_patches(train_head(subject, data, seed), subject, data)
        occurring = int((confusion.sum(dim=1) > 0).sum())
        for metric, measure in METRICS.items():
            values[metric].append(100 * measure(confusion))
    if not occurring:
        subject.note(f"{TEST} needs test pictures whose masks name a class")
        return
    detail = f"{budget(settings, EPOCHS)}; {occurring} classes in the test pictures"
    for metric, of_seeds in values.items():
        yield Score.over_seeds(quality(metric), of_seeds, detail)


@dataclass(frozen=True)
class LabelledPatches:
    """Cropped pictures that could be read, with a class for each patch."""

    images: UInt8[Tensor, "b C h w"] | Float32[Tensor, "b C h w"]
    classes: UInt8[Tensor, "b y x"]
    unreadable: tuple[tuple[str, str], ...]
    """Name and reason of the others."""

    def __len__(self) -> int:
        return len(self.images) + len(self.unreadable)

    def share_memory(self) -> "LabelledPatches":
        """The batch in memory that other processes read."""
        images, classes = self.images.share_memory_(), self.classes.share_memory_()
        return replace(self, images=images, classes=classes)

    def pin_memory(self) -> "LabelledPatches":
        """The batch in page-locked memory; DataLoader calls this."""
        return replace(self, images=self.images.pin_memory(), classes=self.classes.pin_memory())


Item = tuple[Pixels, UInt8[Tensor, "y x"]] | tuple[str, str]
"""A crop and its classes, or name and reason of a picture that cannot be read."""


class MaskedCrops(Dataset[Item]):
    """Crops of pictures and of their masks, read by the loader's workers."""

    def __init__(
        self,
        crops: RandomCrops | CentreCrops,
        source: MaskedSource,
        classes: tuple[str, ...],
        config: ModelConfig,
    ) -> None:
        self.crops, self.source = crops, source
        self.side = config.image_size // config.patch_size
        counted = [place for place, name in enumerate(classes) if name != BACKGROUND]
        self.numbers = torch.full((256,), IGNORED, dtype=torch.uint8)
        self.numbers[counted] = torch.arange(len(counted), dtype=torch.uint8)

    def __len__(self) -> int:
        return len(self.crops)

    def __getitem__(self, index: int) -> Item:
        try:
            pixels = self.crops.read(index)
        except InputError as error:
            return self.crops.name(index), error.reason
        mask = self.source.masks(index % len(self.source)).classes
        cut = self.crops.cut_mask(mask, index)
        return pixels, self.numbers[nearest_pixels(cut, self.side, self.side).long()]


def collated(items: list[Item]) -> LabelledPatches:
    """Items as a batch. Workers that are spawned are sent this function."""
    found = [(a, b) for a, b in items if isinstance(a, Tensor) and isinstance(b, Tensor)]
    unreadable = tuple((a, b) for a, b in items if isinstance(a, str) and isinstance(b, str))
    if not found:
        nothing = torch.empty(0, 0, 0, 0, dtype=torch.uint8)
        return LabelledPatches(nothing, nothing[0], unreadable)
    images, classes = zip(*found, strict=True)
    return LabelledPatches(one_batch(images), torch.stack(classes), unreadable)


def num_counted(classes: tuple[str, ...]) -> int:
    """Classes that are not the background."""
    return sum(name != BACKGROUND for name in classes)


def train_head(subject: Subject, data: MaskedSplits, seed: int) -> nn.Sequential:
    """BatchNorm and the convolution. Raises DataError when no picture can be read."""
    config, settings = subject.model.config, subject.settings
    scale = SCALE_ADE20K if data.classes == ADE20K else SCALE
    crops = RandomCrops(data.train, config.image_size, scale, seed, epochs_of(settings, EPOCHS))
    steps = Steps(len(data.train), crops.epochs, BATCH, settings.batch_size, seed)
    items = MaskedCrops(crops, data.train, data.classes, config)
    portions = loaded(items, steps.portions(), collated, settings.num_workers, subject.model.device)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        convolution = nn.Conv2d(config.embed_dim, num_counted(data.classes), kernel_size=1)
    head = nn.Sequential(nn.BatchNorm2d(config.embed_dim), convolution).to(subject.model.device)
    optimizer = torch.optim.AdamW(head.parameters(), RATE, weight_decay=WEIGHT_DECAY)
    for together in readable(subject, TEST, steps, portions):
        made = [_dense(subject, portion) for portion in together]
        dense, truth = (torch.cat(parts) for parts in zip(*made, strict=True))
        loss = hybrid_loss(head(dense.float()), truth)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(head.parameters(), CLIPPING)
        optimizer.step()
    return head.eval()


def _dense(
    subject: Subject, batch: LabelledPatches
) -> tuple[Float[Tensor, "b D y x"], Int64[Tensor, "b y x"]]:
    """U on its grid in half precision, and the classes, on the model's device."""
    model = subject.model
    with inference(model):
        factors = model.encode(batch.images.to(model.device))
    dense = factors.dense.mT.unflatten(2, factors.grid)
    return dense.half(), batch.classes.to(model.device).long()


def hybrid_loss(
    logits: Float[Tensor, "b c y x"], truth: Int64[Tensor, "b y x"]
) -> Float[Tensor, ""]:
    """Cross-entropy and Dice, with a weight of 1 each, over patches that are not IGNORED; Dice is
    averaged over all classes, also those that no patch of the batch has. 0 without a patch.
    """
    counted = truth != IGNORED
    if not counted.any():
        return 0 * logits.sum()
    rows, classes = logits.permute(0, 2, 3, 1)[counted], truth[counted]
    p, t = rows.softmax(dim=1), F.one_hot(classes, rows.shape[1]).float()
    dice = (2 * (p * t).sum(dim=0) + 1) / (p.sum(dim=0) + t.sum(dim=0) + 1)
    return F.cross_entropy(rows, classes) + 1 - dice.mean()


@torch.no_grad()
def count_patches(
    head: nn.Sequential, subject: Subject, data: MaskedSplits
) -> Int64[Tensor, "c c"]:
    """One confusion matrix of all patches of the test pictures."""
    config, settings = subject.model.config, subject.settings
    crops = CentreCrops(data.test, config.image_size)
    num_classes = num_counted(data.classes)
    found, unreadable = torch.zeros(num_classes, num_classes, dtype=torch.int64), []
    batches: Iterable[list[int]] = (
        part.tolist() for part in torch.arange(len(crops)).split(settings.batch_size)
    )
    items = MaskedCrops(crops, data.test, data.classes, config)
    for batch in loaded(items, batches, collated, settings.num_workers, subject.model.device):
        unreadable += batch.unreadable
        if len(batch.images):
            dense, truth = _dense(subject, batch)
            named = head(dense.float()).argmax(dim=1)
            found += confusion_matrix(truth, named, num_classes).cpu()
    subject.left_out("test", len(crops), tuple(unreadable))
    return found


MIOU = Measure("Published mIoU of U", "patches, published protocol", (quality("mIoU"),))
PUBLISHED_SEGMENTATION = Evaluator(
    TEST,
    "published protocol: BatchNorm and a 1 x 1 convolution on the dense grid U, cross-entropy and "
    "Dice, AdamW 1e-4, weight decay 1e-4, constant, batches of 2048, 80 epochs over nine tenths of "
    "the training pictures, each cropped anew (0.5 to 1 of its area, ADE20K 0.25 to 1) and "
    "mirrored in every epoch. Not comparable with other papers: scored on the patch grid of a "
    "centred square, not at every pixel of the picture; a class called background is not counted, "
    "as VOC's is elsewhere; Cityscapes has 33 raw labels, not its 19 classes; mIoU is over the "
    "classes that occur",
    published_segmentation,
    quantities=tuple(map(quality, METRICS)),
    headline=(MIOU,),
)
