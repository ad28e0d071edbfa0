"""Which classes of objects are in a picture, from the mean of S (the paper's own use of it), all of
S side by side, cls, and the mean of U.
"""

import math
from collections.abc import Iterator
from dataclasses import replace

import torch
from jaxtyping import Bool
from torch import Tensor

from stellar.data.folder import evenly_spread
from stellar.data.labelled import IGNORED, MaskedSource, MaskedSplits
from stellar.evaluation.evaluators.evaluator import Evaluator
from stellar.evaluation.features.patches import Patches
from stellar.evaluation.probes.linear import linear_probe
from stellar.evaluation.scores import Quantity, Score
from stellar.evaluation.subject import Subject

MOST_PICTURES = 5000
"""Pictures that the probe learns from, and those that it is tested on, evenly spread."""
BATCH = 64
STEPS, LEARNED_AT_ONCE = 500, 128
"""Steps that the probe takes at least, and pictures of one: a thousand pictures are few."""


def mean_precision(feature: str) -> Quantity:
    """Mean average precision of a linear probe on one feature."""
    return Quantity(
        "presence", f"mAP, {feature}", "mAP", feature, probe="linear", unit="%", baseline="chance"
    )


QUANTITIES = {
    "S": mean_precision("S"),
    "all S": mean_precision("all S"),
    "cls": mean_precision("cls"),
    "U": mean_precision("U"),
}


def presence(subject: Subject) -> Iterator[Score]:
    """Of every feature that the model has, over the classes of objects that test pictures have."""
    data, settings = subject.data, subject.settings
    if not isinstance(data, MaskedSplits):
        return
    train, test = subject.train_patches, subject.test_patches
    known, asked = (
        _classes_of_objects(patches, source, len(data.classes))
        for patches, source in ((train, data.train), (test, data.test))
    )
    if not known.any() or not asked.any():
        return
    features, queries = _features(train), _features(test)
    device = subject.model.device
    epochs = max(settings.epochs, epochs_for(len(known)))
    results = [
        linear_probe(
            features, known, {name: x.to(device) for name, x in queries.items()}, asked,
            len(data.classes), epochs=epochs, batch_size=LEARNED_AT_ONCE, seed=seed,
        )
        for seed in settings.seeds
    ]  # fmt: skip
    there = asked[:, asked.any(dim=0)].double()
    detail = f"{there.shape[1]} classes, {len(there)} pictures"
    for name in features:
        shares = [100 * result.by_feature[name].accuracies[0] for result in results]
        score = Score.over_seeds(QUANTITIES[name], shares, detail)
        yield replace(score, baseline=100 * there.mean().item())


def epochs_for(num_pictures: int) -> int:
    """Passes over so many pictures that take STEPS steps; one pass over few of them is a step."""
    return math.ceil(STEPS * LEARNED_AT_ONCE / max(num_pictures, LEARNED_AT_ONCE))


def _classes_of_objects(
    patches: Patches, source: MaskedSource, num_classes: int
) -> Bool[Tensor, "n c"]:
    """Which of the classes have a pixel of an object in each picture."""
    rows = evenly_spread(patches, MOST_PICTURES)
    found = torch.zeros(len(rows), IGNORED + 1, dtype=torch.bool)
    for number, row in enumerate(rows):
        masks = source.masks(int(patches.places[row]))
        found[number, masks.classes[masks.instances > 0].long()] = True
    return found[:, :num_classes]


def _features(patches: Patches) -> dict[str, Tensor]:
    """In half precision, as they were kept."""
    found: dict[str, list[Tensor]] = {name: [] for name in QUANTITIES}
    for rows in torch.tensor(evenly_spread(patches, MOST_PICTURES)).split(BATCH):
        batch = patches.read(rows.tolist(), torch.device("cpu"))
        if batch.sparse.shape[1]:
            found["S"].append(batch.sparse.mean(dim=1).half())
            found["all S"].append(batch.sparse.flatten(1).half())
        found["cls"].append(batch.cls.half())
        found["U"].append(batch.dense.mean(dim=1).half())
    return {name: torch.cat(parts) for name, parts in found.items() if parts}


PRESENCE = Evaluator(
    "presence",
    "mean average precision of naming the classes of objects that a test picture has, by LayerNorm "
    "and a linear layer on the mean of S, all of S, cls and the mean of U; rates as in the linear "
    f"probe, {STEPS} steps of {LEARNED_AT_ONCE} at least; {MOST_PICTURES:,} pictures to learn from "
    "and to ask at most; chance is the share of pictures that have a class",
    presence,
    quantities=tuple(QUANTITIES.values()),
)
