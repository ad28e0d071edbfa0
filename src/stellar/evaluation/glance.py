"""A glance at a model that is still learning: what it knows by now of a few pictures with masks, in
a second or two. The same numbers as an evaluation's, on fewer pictures.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from stellar.config import EvaluationConfig, RunConfig
from stellar.data.embedded import EMBEDDED
from stellar.data.evaluation_data import open_scenes
from stellar.data.labelled import MaskedSplits
from stellar.evaluation.evaluators.localisation import agreement_of, localisation
from stellar.evaluation.evaluators.reconstruction import likeness, reconstruction
from stellar.evaluation.evaluators.what_where import accuracy
from stellar.evaluation.features.objects import collect
from stellar.evaluation.probes.objects import probe_matrix
from stellar.evaluation.scores import Quantity
from stellar.evaluation.subject import Subject
from stellar.model import Stellar

FIGURES = {
    "Z to colour": accuracy("Z", "colour", "kNN"),
    "L to place": accuracy("L", "place", "kNN"),
    "ARI": agreement_of("ARI"),
    "PSNR": likeness("PSNR"),
}
"""What is looked at, by what it is called in a line."""
SPLIT, NUM_TRAIN, NUM_TEST = "tuning", 200, 100
"""Embedded scenes that a run is watched on: none that an evaluation asks about."""


def watching(config: RunConfig) -> Callable[[Stellar], str] | None:
    """What looks at the model of a run on embedded scenes; None for other data."""
    if config.data not in EMBEDDED:
        return None
    data = open_scenes(config.model, NUM_TRAIN, NUM_TEST, data=config.data, test_split=SPLIT)
    return lambda model: glance(model, data)


@torch.no_grad()
def glance(model: Stellar, data: MaskedSplits) -> str:
    """Those of FIGURES that there are, in a line: "Z to colour 0.71, ARI 0.43, PSNR 19.8 dB"."""
    settings = EvaluationConfig(num_seeds=1, num_workers=0)
    with TemporaryDirectory() as folder:
        found = dict(_figures(Subject("", model, data, settings, Path(folder))))
    texts = []
    for name, quantity in FIGURES.items():
        if quantity in found:
            form = ".1f" if quantity.unit else ".2f"
            texts.append(f"{name} {found[quantity]:{form}} {quantity.unit}".rstrip())
    return ", ".join(texts)


def _figures(subject: Subject) -> Iterator[tuple[Quantity, float]]:
    assert isinstance(subject.data, MaskedSplits)
    parts = ((subject.train_patches, subject.data.train), (subject.test_patches, subject.data.test))
    train, test = (collect(patches, source, range(len(patches))) for patches, source in parts)
    if len(train) and len(test):
        for each in probe_matrix(train, test, ("kNN",)):
            yield accuracy(each.feature, each.label, each.probe), each.accuracy
    for score in (*localisation(subject), *reconstruction(subject)):
        yield score.quantity, score.value
