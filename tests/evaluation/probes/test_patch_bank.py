"""Votes of patches, against scikit-learn's."""

from collections.abc import Callable

import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler

from stellar.config import ModelConfig
from stellar.data import MaskedSplits
from stellar.evaluation.features.patches import Patches
from stellar.evaluation.probes.patch_bank import fill_bank
from stellar.evaluation.probes.patch_heads import Feature, fit_norm, inputs_of
from stellar.evaluation.subject import Subject
from stellar.model import Stellar

CPU = torch.device("cpu")
FEATURES: tuple[Feature, ...] = ("U", "Z")


@pytest.fixture
def subject(
    small: ModelConfig, mosaics: Callable[..., MaskedSplits], subject_of: Callable[..., Subject]
) -> Subject:
    """A random model on masks whose borders are not those of patches."""
    return subject_of(Stellar(small).eval(), mosaics((23, 31)))


def everything(feature: Feature, patches: Patches) -> tuple[torch.Tensor, torch.Tensor]:
    """Features and shares of all patches."""
    batch = patches.read(list(range(len(patches))), CPU)
    return inputs_of(feature, batch), batch.shares.flatten(0, 1)


@pytest.mark.parametrize("feature", FEATURES)
def test_votes_are_those_of_scikit_learn(subject: Subject, feature: Feature) -> None:
    patches, asked = subject.train_patches, subject.test_patches
    bank = fill_bank(feature, fit_norm(feature, patches, CPU), patches, most=0, seed=0)
    features, shares = everything(feature, patches)
    known = shares.sum(dim=1) > 0
    assert known.sum() == len(bank.labels) < len(known)
    scaler = StandardScaler().fit(features)
    batch = asked.read(list(range(len(asked))), CPU)
    queries = scaler.transform(inputs_of(feature, batch))
    for k, named in bank.named(batch, (1, 3, 10)).items():
        theirs = KNeighborsClassifier(k, metric="cosine", algorithm="brute")
        theirs.fit(scaler.transform(features)[known], shares.argmax(dim=1)[known])
        agree = (torch.from_numpy(theirs.predict(queries)) == named.flatten()).double().mean()
        assert agree > 0.99, "but for cosines that are equal up to rounding"


def test_a_bank_is_bounded_and_drawn_by_its_seed(subject: Subject) -> None:
    patches = subject.train_patches
    norm = fit_norm("U", patches, CPU)
    whole = fill_bank("U", norm, patches, most=0, seed=0)
    banks = [fill_bank("U", norm, patches, 50, seed) for seed in (0, 0, 1)]
    for bank in banks:
        assert len(bank.rows) == len(bank.labels) == 50
        nearest = torch.cdist(bank.rows, whole.rows).argmin(dim=1)
        assert torch.allclose(bank.rows, whole.rows[nearest])
    assert torch.equal(banks[0].rows, banks[1].rows)
    assert not torch.equal(banks[0].rows, banks[2].rows)
