"""The published linear probe: LayerNorm and a linear layer on the mean of S, on features that are
made again in every epoch, as each picture is cropped anew.

The mean of U, and cls, are read by heads of their own from the same features: rows of the published
table that have 196 tokens, or one.
"""

from collections.abc import Iterator, Mapping

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn

from stellar.data.folder import DataError
from stellar.data.labelled import LabelledImages, Splits
from stellar.data.picture_batches import picture_batches, pictures_at
from stellar.evaluation.evaluators.classification import ranks
from stellar.evaluation.evaluators.evaluator import Evaluator, Measure
from stellar.evaluation.evaluators.published.crops import CentreCrops, RandomCrops
from stellar.evaluation.evaluators.published.steps import (
    CLIPPING,
    WEIGHT_DECAY,
    Steps,
    budget,
    epochs_of,
    readable,
)
from stellar.evaluation.scores import Quantity, Score
from stellar.evaluation.subject import Subject
from stellar.model import Stellar
from stellar.precision import inference

TEST = "published linear probe"
EPOCHS, BATCH, RATE = 30, 2048, 1e-3
SCALE = (0.2, 1.0)
FEATURES, METRICS = ("S", "U", "cls"), ("top-1", "top-5")


def accuracy(metric: str, feature: str) -> Quantity:
    """Of the published linear probe."""
    return Quantity(TEST, f"{metric}, {feature}", metric, feature, probe="linear", unit="%")


def published_linear(subject: Subject) -> Iterator[Score]:
    """Top-1, and top-5 of more than 5 classes, after the last epoch, for each of the model's
    features.
    """
    data, settings = subject.data, subject.settings
    if not isinstance(data, Splits):
        return
    if data.multi_label:
        subject.note("the published linear probe is of pictures with one label each")
        return
    found = [_shares(train(subject, data, seed), subject, data.test) for seed in settings.seeds]
    for feature in found[0]:
        for place, metric in enumerate(ranks(len(data.classes))):
            shares = [100 * of_seed[feature][place].item() for of_seed in found]
            detail = budget(settings, EPOCHS)
            yield Score.over_seeds(accuracy(metric, feature), shares, detail)


def means(model: Stellar, images: Tensor) -> dict[str, Float[Tensor, "b D"]]:
    """Of pictures (b c h w) as they were read: the mean of S, where a model has tokens, the mean of
    U, and cls.
    """
    with inference(model):
        factors = model.encode(images.to(model.device))
    sets = {"S": factors.sparse, "U": factors.dense, "cls": factors.cls[:, None]}
    return {name: x.float().mean(dim=1) for name, x in sets.items() if x.shape[1]}


def train(subject: Subject, data: Splits, seed: int) -> dict[str, nn.Sequential]:
    """A head for each feature. Raises DataError when no picture can be read."""
    model, settings = subject.model, subject.settings
    crops = RandomCrops(
        data.train, model.config.image_size, SCALE, seed, epochs_of(settings, EPOCHS)
    )
    steps = Steps(len(data.train), crops.epochs, BATCH, settings.batch_size, seed)
    portions = pictures_at(
        crops, steps.portions(), subject.fit, model.config, settings.num_workers, model.device
    )
    labels = torch.from_numpy(data.train.labels)
    heads = _heads(subject, len(data.classes), seed)
    parameters = [tensor for head in heads.values() for tensor in head.parameters()]
    optimizer = torch.optim.AdamW(parameters, RATE, weight_decay=WEIGHT_DECAY)
    for together in readable(subject, TEST, steps, portions):
        made = [means(model, portion.images) for portion in together]
        places = torch.tensor([i % len(labels) for portion in together for i in portion.indices])
        truth = labels[places].to(model.device)
        optimizer.zero_grad()
        for name, head in heads.items():
            F.cross_entropy(head(torch.cat([rows[name] for rows in made])), truth).backward()
            nn.utils.clip_grad_norm_(head.parameters(), CLIPPING)
        optimizer.step()
    return heads


def _heads(subject: Subject, num_classes: int, seed: int) -> dict[str, nn.Sequential]:
    """LayerNorm and a linear layer for each feature, as torch starts them."""
    config = subject.model.config
    width, names = config.embed_dim, FEATURES if config.num_sparse_tokens else FEATURES[1:]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layers = {name: nn.Linear(width, num_classes) for name in names}
    device = subject.model.device
    return {name: nn.Sequential(nn.LayerNorm(width), x).to(device) for name, x in layers.items()}


@torch.no_grad()
def _shares(
    heads: Mapping[str, nn.Sequential], subject: Subject, images: LabelledImages
) -> dict[str, Float[Tensor, "2"]]:
    """The shares of top-1 and top-5 of each head on the test pictures."""
    model, settings = subject.model, subject.settings
    crops = CentreCrops(images, model.config.image_size)
    labels, unreadable = torch.from_numpy(images.labels), []
    hits: dict[str, list[Tensor]] = {name: [] for name in heads}
    for batch in picture_batches(
        crops, range(len(crops)), subject.fit, model.config, settings.batch_size,
        settings.num_workers,
    ):  # fmt: skip
        unreadable += batch.unreadable
        if batch.indices:
            truth = labels[list(batch.indices)]
            for name, rows in means(model, batch.images).items():
                hits[name].append(_hits(heads[name](rows).cpu(), truth))
    subject.left_out("test", len(crops), tuple(unreadable))
    if len(unreadable) == len(crops):
        raise DataError(f"none of {len(crops)} test pictures can be read")
    return {name: torch.cat(parts).mean(dim=0) for name, parts in hits.items()}


def _hits(logits: Float[Tensor, "b c"], truth: Int64[Tensor, " b"]) -> Float[Tensor, "b 2"]:
    """1 where the class is the first named, and where it is among the first five."""
    named = logits.topk(min(5, logits.shape[1]), dim=1).indices == truth[:, None]
    return torch.stack([named[:, 0], named.any(dim=1)], dim=1).float()


TOP_1 = Measure("Published linear probe", "top-1, published protocol", (accuracy("top-1", "S"),))
PUBLISHED_LINEAR = Evaluator(
    TEST,
    "published protocol: LayerNorm and a linear layer on the mean of S (and of U, and on cls); "
    "AdamW 1e-3, weight decay 1e-4, constant, batches of 2048, 30 epochs over nine tenths of the "
    "training pictures, each cropped anew (0.2 to 1 of its area) and mirrored in every epoch; last "
    "epoch, no rate chosen. Others, and our own linear probe, choose the learning rate on held-out "
    "pictures",
    published_linear,
    quantities=tuple(accuracy(metric, feature) for feature in FEATURES for metric in METRICS),
    headline=(TOP_1,),
)
