"""The recipe that trains a run's network with labels in place of views."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

import stellar
import with_labels
from stellar.config import ModelConfig, RunConfig
from stellar.config_toml import to_toml
from stellar.data import Scenes
from stellar.data.scenes import CLASSES
from stellar.evaluation.features.objects import collect
from stellar.evaluation.features.patches import extract_patches
from stellar.model import MissingDecoder, Stellar


def test_it_learns_from_what_an_evaluation_asks_about(small: ModelConfig, tmp_path: Path) -> None:
    scenes = Scenes("train", size=16, length=12)
    model = Stellar(small).eval()
    patches = extract_patches(model, scenes, len(CLASSES), tmp_path)
    asked = collect(patches, scenes, range(12))
    batch = with_labels.labelled([scenes.scene(index) for index in range(12)], [False] * 12)
    assert batch.kinds.tolist() == asked.labels["class"].tolist()
    with torch.no_grad():
        learned = with_labels.over_things(model.encode(batch.images), batch)
    # Features lie on the disk in half precision.
    assert F.cosine_similarity(learned, asked.features["Z"]).min() > 0.9999


def test_scenes_are_mirrored_with_their_things() -> None:
    scenes = [Scenes("train", size=16).scene(index) for index in range(6)]
    plain = with_labels.labelled(scenes, [False] * 6)
    some = with_labels.labelled(scenes, [True, False] * 3)
    assert torch.equal(some.images[::2], plain.images[::2].flip(-1))
    assert torch.equal(some.images[1::2], plain.images[1::2])
    mirrored = plain.scene % 2 == 0
    assert torch.equal(some.masks[mirrored], plain.masks[mirrored].flip(-1))
    assert torch.equal(some.masks[~mirrored], plain.masks[~mirrored])


def test_it_learns_and_writes_a_model_that_cannot_draw(
    config: RunConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    faster = replace(config, training=replace(config.training, learning_rate=5e-3))
    (tmp_path / "run.toml").write_text(to_toml(faster))
    out = tmp_path / "labels"
    with_labels.main([str(tmp_path / "run.toml"), "--out", str(out), "--steps", "20"])
    lines = capsys.readouterr().out.splitlines()
    first, last = (float(line.split()[3]) for line in lines)
    assert lines[-1].startswith("step 20/20  loss ")
    assert last < first
    model = stellar.load(out)
    assert isinstance(model, Stellar)
    assert not model.learned_to_draw
    with pytest.raises(MissingDecoder, match="cannot draw: its training had no reconstruction"):
        model.reconstruct(model.encode(torch.rand(1, 3, 48, 48)))
