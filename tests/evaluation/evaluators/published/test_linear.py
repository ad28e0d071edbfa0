"""The published linear probe on pictures of three colours."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from stellar.config import ModelConfig
from stellar.data.folder import DataError
from stellar.data.labelled import Splits, open_labelled
from stellar.evaluation.evaluators.published.linear import (
    BATCH,
    TEST,
    means,
    published_linear,
    train,
)
from stellar.evaluation.subject import Subject
from stellar.model import Backbone, Stellar


@pytest.fixture
def subject(
    small: ModelConfig, coloured: Callable[..., Path], subject_of: Callable[..., Subject]
) -> Subject:
    data = open_labelled(coloured())
    return subject_of(
        Stellar(small).eval(), data, protocol="published", published_epochs=2, batch_size=8
    )


def test_all_features_are_read_and_the_budget_is_said(subject: Subject) -> None:
    scores = {score.quantity.name: score for score in published_linear(subject)}
    assert {*scores} == {"top-1, S", "top-1, U", "top-1, cls"}, "of three classes, no top-5"
    assert all(score.quantity.test == TEST for score in scores.values())
    assert {score.detail for score in scores.values()} == {
        "2 epochs, not the 30 that are published"
    }
    assert scores["top-1, S"].spread is not None
    assert not subject.notes


def test_it_learns_with_epochs(subject: Subject) -> None:
    long = replace(subject, settings=replace(subject.settings, published_epochs=60, num_seeds=1))
    scores = {score.quantity.name: score.value for score in published_linear(long)}
    assert scores["top-1, U"] > 60


def weight_of(subject: Subject, seed: int) -> torch.Tensor:
    """Of the linear layer on S."""
    assert isinstance(subject.data, Splits)
    return train(subject, subject.data, seed)["S"][1].get_parameter("weight")


def test_a_seed_decides_everything_and_the_model_stays(subject: Subject) -> None:
    before = {name: tensor.clone() for name, tensor in subject.model.state_dict().items()}
    found = []
    for seed in (0, 0, 1):
        torch.rand(seed + 3)  # whatever was drawn before
        found.append(weight_of(subject, seed))
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])
    assert all(torch.equal(t, before[name]) for name, t in subject.model.state_dict().items())
    portions = replace(subject, settings=replace(subject.settings, batch_size=BATCH))
    weight = weight_of(portions, 0)
    torch.testing.assert_close(weight, found[0], atol=1e-4, rtol=1e-3)


def test_a_backbone_has_no_s(subject: Subject, small: ModelConfig) -> None:
    backbone = Backbone(replace(small, num_sparse_tokens=0)).eval()
    scores = published_linear(replace(subject, model=backbone))
    assert {score.quantity.feature for score in scores} == {"U", "cls"}


def test_pictures_that_cannot_be_read_are_counted(subject: Subject, tmp_path: Path) -> None:
    (tmp_path / "coloured/val/red/0.png").write_bytes(b"no picture")
    for file in (tmp_path / "coloured/train/red").iterdir():
        file.write_bytes(b"no picture")
    list(published_linear(subject))
    assert subject.num_unreadable["test"] == 1
    assert subject.num_unreadable["train"] >= 9
    assert any("1 of 12 test pictures could not be read" in note for note in subject.notes)
    for file in (tmp_path / "coloured/train").rglob("*.png"):
        file.write_bytes(b"no picture")
    with pytest.raises(DataError, match="none of 36 training pictures can be read"):
        list(published_linear(subject))


def test_means_are_those_of_the_factors(subject: Subject) -> None:
    images = torch.randint(256, (2, 3, 16, 16)).byte()
    with torch.no_grad():
        factors = subject.model.encode(images)
    found = means(subject.model, images)
    torch.testing.assert_close(found["S"], factors.sparse.mean(1), atol=2e-2, rtol=2e-2)
    torch.testing.assert_close(found["cls"], factors.cls, atol=2e-2, rtol=2e-2)


def test_masks_and_several_labels_are_not_for_it(subject: Subject, mosaics, tmp_path: Path) -> None:
    assert not list(published_linear(replace(subject, data=mosaics())))
    table = tmp_path / "coloured/labels.csv"
    rows = [
        f"{part}/red/0.png,a;b,{part}\n{part}/red/1.png,a,{part}\n" for part in ("train", "val")
    ]
    table.write_text("path,label,split\n" + "".join(rows))
    several = replace(subject, data=open_labelled(table))
    assert not list(published_linear(several))
    assert "one label each" in several.notes[0]
