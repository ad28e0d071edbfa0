"""Features on the disk: what the model says, whatever the batches; broken pictures left out."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from stellar.config import ModelConfig
from stellar.data import DataError, LabelledImages, open_labelled
from stellar.errors import UserError
from stellar.evaluation.features.pictures import extract
from stellar.images import fitted
from stellar.model import Backbone, Stellar


@pytest.fixture
def model(small: ModelConfig) -> Stellar:
    return Stellar(small).eval()


@pytest.fixture
def images(tmp_path: Path) -> LabelledImages:
    """Eleven pictures of two classes to train with, the third and the last one broken."""
    rng = np.random.default_rng(0)
    for number in range(13):
        path = tmp_path / f"photos/{'train' if number < 11 else 'val'}/{number % 2}/{number:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 256, (20 + number, 30, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)
    train = open_labelled(tmp_path / "photos").train
    for index in (2, 10):
        (tmp_path / "photos" / train.name(index)).write_bytes(b"nothing")
    return train


def expected(
    model: Stellar, images: LabelledImages
) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """Each readable picture by itself: its features and its label."""
    rows, labels = {"cls": [], "S": [], "U": []}, []
    for index in set(range(11)) - {2, 10}:
        with torch.no_grad():
            factors = model.encode(fitted(images.read(index), "crop", model.config)[None])
        rows["cls"].append(factors.cls[0])
        rows["S"].append(factors.sparse[0].sum(dim=0) / 3)
        rows["U"].append(factors.dense[0].sum(dim=0) / 16)
        labels.append(images.labels[index])
    return {name: torch.stack(values) for name, values in rows.items()}, torch.tensor(labels)


@pytest.mark.parametrize(("batch_size", "num_workers"), [(1, 0), (4, 1), (64, 0)])
def test_every_row_is_what_the_model_says(
    tmp_path: Path, model: Stellar, images: LabelledImages, batch_size: int, num_workers: int
) -> None:
    steps = []
    found = extract(
        model,
        images,
        tmp_path / "new/place",
        batch_size,
        num_workers,
        lambda *step: steps.append(step),
    )
    assert found.names == ("cls", "S", "U", "S+cls", "U+cls")
    rows, labels = expected(model, images)
    for name, values in rows.items():
        assert found.tensor(name).dtype == torch.float16
        ours = found.tensor(name).float()
        assert torch.cosine_similarity(ours, values).min() > 0.999
        assert (ours - values).abs().max() < 0.05  # where the device computes in bf16
    assert torch.equal(found.labels, labels)
    assert found.labels.dtype == torch.int64
    assert [name for name, _ in found.unreadable] == [images.name(2), images.name(10)]
    assert "not a JPEG" in found.unreadable[0][1]
    assert steps[-1] == (11, 11)
    assert [done for done, _ in steps] == sorted({done for done, _ in steps})


def test_both_together_are_side_by_side(
    tmp_path: Path, model: Stellar, images: LabelledImages
) -> None:
    found = extract(model, images, tmp_path)
    for name in ("S+cls", "U+cls"):
        parts = [found.tensor(part) for part in name.split("+")]
        assert torch.equal(found.tensor(name), torch.cat(parts, dim=1))
    with pytest.raises(UserError, match=r"must be one of cls, S, U, S\+cls, U\+cls, got L"):
        found.tensor("L")


def test_the_files_are_plain_half_precision_arrays(
    tmp_path: Path, model: Stellar, images: LabelledImages
) -> None:
    found = extract(model, images, tmp_path / "out", batch_size=2)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "cls.npy", "S.npy", "U.npy", "S+cls.npy", "U+cls.npy", "labels.npy",
    }  # fmt: skip
    for name in ("cls", "S", "U"):
        array = np.load(tmp_path / f"out/{name}.npy", mmap_mode="r")
        assert (array.shape, array.dtype) == ((9, 24), np.float16)
        assert np.array_equal(array, found.tensor(name).numpy())


def test_a_backbone_has_no_s(tmp_path: Path, model: Stellar, images: LabelledImages) -> None:
    extract(model, images, tmp_path)  # what another model left there is not taken
    backbone = Backbone(replace(model.config, num_sparse_tokens=0)).eval()
    found = extract(backbone, images, tmp_path)
    assert found.names == ("cls", "U", "U+cls")
    factors = backbone.encode(fitted(images.read(0), "crop", backbone.config)[None])
    assert torch.cosine_similarity(found.tensor("cls")[0].float(), factors.cls[0], dim=0) > 0.999
    with pytest.raises(UserError, match=r"must be one of cls, U, U\+cls, got S"):
        found.tensor("S")


def test_no_readable_picture_is_one_sentence(
    tmp_path: Path, model: Stellar, images: LabelledImages
) -> None:
    for index in range(len(images)):
        (images.root / images.name(index)).write_bytes(b"nothing")
    with pytest.raises(
        DataError, match=r"none of 11 pictures can be read; the first is train/0/00"
    ):
        extract(model, images, tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize("value", [1e6, float("nan")])
def test_features_that_are_not_finite_are_refused(
    tmp_path: Path, model: Stellar, images: LabelledImages, value: float
) -> None:
    """1e6 is more than half precision holds."""
    with torch.no_grad():
        next(p for n, p in model.encoder.named_parameters() if n == "norm.bias").fill_(value)
    with pytest.raises(UserError, match=r"says of train/0/00\.png, its cls, is not finite"):
        extract(model, images, tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())


def test_an_interruption_leaves_nothing_behind(
    tmp_path: Path, model: Stellar, images: LabelledImages
) -> None:
    def stop(done: int, _total: int) -> None:
        if done >= 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        extract(model, images, tmp_path / "out", batch_size=2, progress=stop)
    assert not list((tmp_path / "out").iterdir())
