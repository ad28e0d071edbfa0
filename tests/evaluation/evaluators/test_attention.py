"""The attentive probe on pictures with labels: only when it is asked for."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from stellar.config import ModelConfig
from stellar.data.labelled import open_labelled
from stellar.evaluation.evaluators.attention import attention
from stellar.evaluation.subject import Subject
from stellar.model import Backbone, Stellar


def test_u_and_s_are_probed_and_lie_on_the_disk_only_when_asked(
    small: ModelConfig, coloured: Callable[..., Path], subject_of: Callable[..., Subject],
    tmp_path: Path,
) -> None:  # fmt: skip
    model, data = Stellar(small).eval(), open_labelled(coloured())
    asked = subject_of(model, data, attentive=True)
    scores = {score.quantity.name: score for score in attention(asked)}
    assert set(scores) == {"top-1, U", "top-1, S"}
    assert scores["top-1, U"].value > 60
    assert scores["top-1, U"].spread is not None
    assert scores["top-1, U"].detail.count("rate") == 2
    kept = {path.name: np.load(path, mmap_mode="r") for path in (tmp_path / "train").iterdir()}
    assert kept["all_U.npy"].shape == (36, 16, 24)
    assert kept["all_S.npy"].shape == (36, 3, 24)
    assert kept["all_U.npy"].nbytes + kept["all_S.npy"].nbytes == 36 * 2 * (16 + 3) * 24
    means = kept["all_U.npy"].astype(np.float32).mean(axis=1)
    np.testing.assert_allclose(means, kept["U.npy"].astype(np.float32), atol=2e-3)
    unasked = replace(asked, settings=replace(asked.settings, attentive=False))
    assert not list(attention(unasked))
    assert not unasked.train.sets


def test_a_backbone_has_u_alone_and_masks_are_no_labels(
    small: ModelConfig, coloured: Callable[..., Path], subject_of: Callable[..., Subject],
    mosaics,
) -> None:  # fmt: skip
    backbone = Backbone(replace(small, num_sparse_tokens=0)).eval()
    (score,) = attention(subject_of(backbone, open_labelled(coloured()), attentive=True, epochs=1))
    assert score.quantity.feature == "U"
    masked = subject_of(backbone, mosaics(), attentive=True)
    assert not list(attention(masked))
    assert "needs pictures with labels" in masked.notes[0]


def test_pictures_with_several_labels(
    small: ModelConfig, coloured: Callable[..., Path], subject_of: Callable[..., Subject]
) -> None:
    root = coloured()
    labels = {"red": "warm;red", "green": "green", "blue": "blue;cold"}
    rows = [
        f"{file.relative_to(root)},{labels[file.parent.name]},{file.parent.parent.name}\n"
        for file in sorted(root.rglob("*.png"))
    ]
    (root / "labels.csv").write_text("path,label,split\n" + "".join(rows))
    subject = subject_of(Stellar(small).eval(), open_labelled(root / "labels.csv"), attentive=True)
    scores = {score.quantity.name: score.value for score in attention(subject)}
    assert set(scores) == {"mAP, U", "mAP, S"}
    assert scores["mAP, U"] > 60
