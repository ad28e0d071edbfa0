"""Linear heads of patches and tokens: the right loss, and each as it would be alone."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from stellar.config import ModelConfig
from stellar.data.labelled import MaskedSplits
from stellar.evaluation.features.patches import Patches, extract_patches
from stellar.evaluation.probes.holdout import shuffled
from stellar.evaluation.probes.patch_heads import (
    BATCH,
    BatchNorm,
    Feature,
    PatchHeads,
    fit_norm,
    inputs_of,
    targets_of,
    together,
    train_heads,
)
from stellar.model import Stellar

CPU = torch.device("cpu")
EVERY = pytest.mark.parametrize("feature", ["U", "Z", "tokens"])


@pytest.fixture
def patches(mosaics: Callable[..., MaskedSplits], small: ModelConfig, tmp_path: Path) -> Patches:
    return extract_patches(Stellar(small).eval(), mosaics((32, 32)).train, 4, tmp_path)


@EVERY
def test_batch_norm_has_the_statistics_of_the_training_set(
    patches: Patches, feature: Feature
) -> None:
    x = inputs_of(feature, patches.read(range(len(patches)), CPU))
    layer = nn.BatchNorm1d(x.shape[1], affine=False).train()
    found = fit_norm(feature, patches, CPU)(x)
    torch.testing.assert_close(found, layer(x), atol=1e-3, rtol=1e-3)


@EVERY
def test_every_head_is_what_it_would_be_alone(patches: Patches, feature: Feature) -> None:
    norm = fit_norm(feature, patches, CPU)
    order = shuffled(torch.arange(50), 2, BATCH, torch.Generator().manual_seed(1))
    batches = [rows.tolist() for rows in order]
    rates = (1e-3, 1e-1)
    found = train_heads(feature, norm, patches, batches, rates)
    for index, rate in enumerate(rates):
        layer = nn.Linear(24, 4)
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)
        optimizer = torch.optim.Adam(layer.parameters())
        for step, rows in enumerate(batches):
            cosine = (1 + math.cos(math.pi * step / len(batches))) / 2
            optimizer.param_groups[0]["lr"] = rate * cosine
            batch = patches.read(rows, CPU)
            target = targets_of(feature, batch)
            logits = layer(norm(inputs_of(feature, batch)))
            loss = F.cross_entropy(logits, target, reduction="sum") / target.sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        torch.testing.assert_close(found.weight[index], layer.weight, atol=1e-3, rtol=0)
        torch.testing.assert_close(found.bias[index], layer.bias, atol=1e-3, rtol=0)


def test_shares_as_labels_are_the_cross_entropy_of_all_pixels(
    mosaics: Callable[..., MaskedSplits], patches: Patches
) -> None:
    source, batch = mosaics((32, 32)).train, patches.read(range(8), CPU)
    masks = torch.stack([source.masks(index).classes for index in range(8)]).long()
    logits = torch.randn(8 * 16, 4)
    pixels = F.interpolate(logits.view(8, 4, 4, 4).permute(0, 3, 1, 2), size=(32, 32))
    expected = F.cross_entropy(pixels, masks, ignore_index=255)
    target = targets_of("U", batch)
    found = -(target * logits.log_softmax(1)).sum() / target.sum()
    torch.testing.assert_close(found, expected)


def test_a_token_is_labelled_with_what_it_explains_and_paints_it(patches: Patches) -> None:
    batch = patches.read(range(6), CPU)
    target = targets_of("tokens", batch).view(6, 3, 4)
    for picture in range(6):
        for k in range(3):
            explained = (batch.spatial[picture, :, k, None] * batch.shares[picture]).sum(dim=0)
            torch.testing.assert_close(target[picture, k], explained)
    norm = BatchNorm(torch.zeros(24), torch.ones(24))
    heads = PatchHeads("tokens", norm, torch.randn(2, 4, 24), torch.randn(2, 4))
    painted = heads.scores(batch)
    torch.testing.assert_close(painted.sum(dim=3), torch.ones(6, 16, 2), atol=1e-2, rtol=0)
    of_tokens = (batch.sparse[3] @ heads.weight[1].T + heads.bias[1]).softmax(dim=1)
    torch.testing.assert_close(painted[3, :, 1], batch.spatial[3] @ of_tokens)
    pixels = -(batch.shares * painted[:, :, 0].log()).sum()
    bound = -(target.flatten(0, 1) * heads.logits(batch)[:, 0].log_softmax(1)).sum()
    assert pixels <= bound + 1e-3, "the loss of the tokens is an upper bound"


def test_heads_come_apart_and_together(patches: Patches) -> None:
    norm = fit_norm("Z", patches, CPU)
    heads = train_heads("Z", norm, patches, [[0, 1], [2]], (1e-3, 1e-2, 1e-1))
    again = together([heads.only(index) for index in range(3)])
    assert torch.equal(again.weight, heads.weight)
    batch = patches.read([4], CPU)
    torch.testing.assert_close(heads.only(2).scores(batch), heads.scores(batch)[:, :, 2:])


def test_pictures_without_labels_teach_nothing(patches: Patches) -> None:
    norm = fit_norm("U", patches, CPU)
    read = patches.read

    class Unlabelled(Patches):
        def read(self, rows, device):
            batch = read(rows, device)
            return replace(batch, shares=0 * batch.shares)

    unlabelled = Unlabelled(patches.folder, patches.grid, ())
    heads = train_heads("U", norm, unlabelled, [[0], [1]], (1e-1,))
    assert not heads.weight.any()
