"""Undoing a change brings maps back to where their content was; the two measures are right."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from stellar.config import EvaluationConfig, ModelConfig
from stellar.data.labelled import MaskedSplits
from stellar.data.scenes import CLASSES, Scenes
from stellar.evaluation.evaluators.equivariance import (
    changes,
    equivariance,
    middle,
    nearest_tokens,
    overlap,
)
from stellar.evaluation.subject import Subject
from stellar.model import Backbone, Factors, Stellar

GRID, MARGIN, PATCH = 8, 2, 3


def maps_of(images: Tensor) -> Tensor:
    """What a model that only looks at colours would say: two maps, of patches' first channel."""
    bright = F.avg_pool2d(images[:, :1].float(), PATCH)
    return torch.cat([bright, 1 - bright], dim=1)


def blob(generator: torch.Generator) -> Tensor:
    """Canvases with smooth shapes."""
    coarse = torch.rand(4, 3, 3, 3, generator=generator)
    return F.interpolate(coarse, (GRID + 2 * MARGIN) * PATCH, mode="bicubic").clamp(0, 1)


@pytest.mark.parametrize("number", range(3))
def test_a_model_that_follows_is_seen_to_follow(number: int) -> None:
    canvas = blob(torch.Generator().manual_seed(0))
    change = changes(GRID, MARGIN, PATCH)[number]
    changed = change.apply(canvas)
    assert changed.shape == (4, 3, GRID * PATCH, GRID * PATCH)
    reference = maps_of(middle(canvas, MARGIN * PATCH))[:, :, change.lost :, change.lost :]
    undone = change.undo(maps_of(changed))
    if change.name == "scale":
        assert (undone - reference).abs().mean() < 0.03
    else:
        assert torch.allclose(undone, reference, atol=1e-6)
    match = torch.arange(2).expand(4, 2)
    followed = overlap(reference, undone, match).mean()
    stayed = overlap(reference, maps_of(changed)[:, :, change.lost :, change.lost :], match).mean()
    assert followed > 0.9
    assert stayed < followed - 0.1


def test_bytes_stay_bytes() -> None:
    canvas = (255 * blob(torch.Generator().manual_seed(0))).byte()
    for change in changes(GRID, MARGIN, PATCH):
        assert change.apply(canvas).dtype == torch.uint8


def test_overlap_is_the_mean_iou_of_matched_tokens() -> None:
    a, b, match = torch.rand(5, 4, 3, 3), torch.rand(5, 4, 3, 3), torch.randint(4, (5, 4))
    a[0] = a[0, :1]  # a tie: the first token leads everywhere
    b[1, 2] = 9  # one token leads everywhere
    expected = []
    for image in range(5):
        ious = []
        for token in range(4):
            first = {p for p in range(9) if a[image].flatten(1)[:, p].argmax() == token}
            other = int(match[image, token])
            second = {p for p in range(9) if b[image].flatten(1)[:, p].argmax() == other}
            if first | second:
                ious.append(len(first & second) / len(first | second))
        expected.append(sum(ious) / len(ious))
    assert overlap(a, b, match).tolist() == pytest.approx(expected, abs=1e-6)


def test_tokens_are_matched_whatever_their_order_and_length() -> None:
    tokens = torch.randn(2, 5, 8)
    order = torch.tensor([3, 0, 4, 1, 2])
    cosine, match = nearest_tokens(tokens, 7 * tokens[:, order])
    assert torch.allclose(cosine, torch.ones(2, 5))
    assert torch.equal(order[match], torch.arange(5).expand(2, 5))
    assert nearest_tokens(torch.zeros(1, 2, 8), tokens[:1])[0].tolist() == [[0, 0]]


def subject_of(model: Stellar, folder: Path, count: int = 6) -> Subject:
    train, test = (Scenes(split, size=16, length=count) for split in ("train", "heldout"))
    data = MaskedSplits(train, test, CLASSES, "scenes")
    return Subject("model", model, data, EvaluationConfig(batch_size=4), folder)


def test_every_change_gives_two_numbers_beside_what_they_are_measured_against(
    small: ModelConfig, tmp_path: Path
) -> None:
    subject = subject_of(Stellar(small).eval(), tmp_path)
    scores = {score.quantity.name: score for score in equivariance(subject)}
    assert set(scores) == {
        f"{part}, {change}" for part in "SL" for change in ("shift", "flip", "scale")
    }
    assert all(-1 <= score.value <= 1 for score in scores.values())
    for score in scores.values():
        assert score.detail == "6 pictures"
        assert score.baseline is not None
        assert -1 <= score.baseline <= 1
    assert scores["S, shift"].baseline_text.startswith("between different pictures ")
    assert scores["L, flip"].baseline_text.startswith("if it had stayed where it was ")


def test_baselines_are_what_a_model_that_cannot_follow_gets(
    small: ModelConfig, tmp_path: Path
) -> None:
    """Tokens that are the same in every picture, and maps that never move."""
    model = Stellar(small).eval()
    factors = model.encode(torch.rand(1, 3, 16, 16))

    class Blind(Stellar):
        def encode(self, images: Tensor) -> Factors:
            cls, sparse, spatial, dense = (
                part.expand(len(images), *part.shape[1:])
                for part in (factors.cls, factors.sparse, factors.spatial, factors.dense)
            )
            return Factors(cls, sparse, spatial, dense, factors.grid)

    for score in equivariance(subject_of(Blind(small).eval(), tmp_path)):
        if score.quantity.feature == "S":
            assert score.value == pytest.approx(1)
            assert score.baseline == pytest.approx(1), "no picture differs from another"
        else:
            assert score.baseline == pytest.approx(1), "nothing has moved"
            assert score.value < 1


def test_one_picture_and_models_without_tokens(small: ModelConfig, tmp_path: Path) -> None:
    scores = list(equivariance(subject_of(Stellar(small).eval(), tmp_path, count=1)))
    assert scores[0].detail == "1 pictures"
    assert scores[0].baseline is None, "there is no other picture to compare with"
    backbone = Backbone(replace(small, num_sparse_tokens=0)).eval()
    assert not list(equivariance(subject_of(backbone, tmp_path)))
