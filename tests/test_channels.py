"""Pictures of 1, 2, 4 and 5 channels all the way: trained on, embedded, drawn again."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import stellar
from stellar.config import (
    ModelConfig,
    ObjectiveConfig,
    RunConfig,
    TrainingConfig,
    ViewConfig,
)
from stellar.data import open_pictures
from stellar.data.folder import DataError
from stellar.embedding import embed, read_embeddings
from stellar.reconstructing import reconstruct
from stellar.training import pretrain


def of_channels(config: ModelConfig, channels: int) -> ModelConfig:
    return replace(
        config, in_chans=channels, image_mean=(0.5,) * channels, image_std=(0.25,) * channels
    )


def save(folder: Path, channels: int) -> None:
    """Eight pictures: greys of 8 and 16 bits, RGBA, TIFF pages, and arrays."""
    rng = np.random.default_rng(0)
    for number in range(8):
        array = rng.integers(0, 256, (20, 24 + number, channels), dtype=np.uint8)
        if channels == 1 and number % 2:
            Image.fromarray(array[..., 0]).save(folder / f"{number}.png")
        elif channels == 1:
            Image.fromarray(array[..., 0].astype(np.uint16) * 257).save(folder / f"{number}.tif")
        elif channels == 4 and number % 2:
            Image.fromarray(array).save(folder / f"{number}.png")
        elif channels == 5 and number % 2:
            first, *rest = [Image.fromarray(array[..., page]) for page in range(5)]
            first.save(folder / f"{number}.tif", save_all=True, append_images=rest)
        else:
            np.save(folder / f"{number}.npy", array / 255)


@pytest.mark.parametrize("channels", [1, 2, 4, 5])
def test_from_a_folder_to_its_tokens(
    tmp_path: Path, small: ModelConfig, small_objective: ObjectiveConfig, channels: int
) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    save(photos, channels)
    config = RunConfig(
        data=str(photos),
        model=of_channels(small, channels),
        views=ViewConfig(num_masked=2, num_local=1, local_size=8, masking_ratio=0.5),
        objective=small_objective,
        training=TrainingConfig(steps=2, batch_size=4, num_workers=0, sample_every=1),
    )
    pretrain(config, tmp_path / "run", device="cpu")
    assert not (tmp_path / "run/skipped.txt").exists()
    assert (tmp_path / "run/samples/step-00000002.png").exists()
    model = stellar.load(tmp_path / "run")
    embed(model, photos, tmp_path / "out.parquet")
    found = read_embeddings(tmp_path / "out.parquet")
    assert found.tokens.shape == (8, 3, 24)
    result = reconstruct(model, open_pictures([str(photos)], model.config), fit="pad")
    assert len(result.psnr) == 8
    assert not result.unreadable


def test_the_embedded_scenes_are_rgb(tmp_path: Path, small: ModelConfig) -> None:
    config = RunConfig(data="scenes", model=of_channels(small, 1), views=ViewConfig(local_size=8))
    with pytest.raises(DataError, match="scenes are RGB, but the model takes 1 channels"):
        pretrain(config, tmp_path / "run", device="cpu")
    assert not (tmp_path / "run").exists()
    with pytest.raises(DataError, match="scenes are RGB, but the model takes 5 channels"):
        open_pictures(["scenes"], of_channels(small, 5))
