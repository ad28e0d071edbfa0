"""Sizes of published files, read off their tensors."""

from pathlib import Path

import pytest

import stellar
from stellar.config import DecoderConfig, ModelConfig
from stellar.model import Stellar
from stellar.model.files.fingerprint import fingerprint
from stellar.model.files.strict_loading import WeightsError


def test_saved_in_the_published_layout_and_loaded_without_its_manifest(tmp_path: Path) -> None:
    """Sizes are read off the tensors, for the widths whose heads are known."""
    decoder = DecoderConfig(target="pixels", embed_dim=192, depth=1, num_heads=3)
    config = ModelConfig(
        image_size=32, patch_size=8, embed_dim=192, depth=2, num_heads=3, num_sparse_tokens=4,
        decoder=decoder,
    )  # fmt: skip
    model = Stellar(config)
    file = stellar.save_published(model, tmp_path / "new", "mine")
    (file.parent / "config.json").unlink()
    loaded = stellar.load(file)
    assert loaded.config == config
    assert fingerprint(loaded) == fingerprint(model)


def test_a_width_of_unknown_heads_needs_a_manifest(tmp_path: Path, small: ModelConfig) -> None:
    file = stellar.save_published(Stellar(small), tmp_path)
    (tmp_path / "config.json").unlink()
    with pytest.raises(WeightsError, match="number of attention heads at width 24"):
        stellar.load(file)
