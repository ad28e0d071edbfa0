"""Quality against the number of tokens kept: against what other tests say of all of them, and
against picture by picture.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.metrics import jaccard_score

from stellar.config import ModelConfig
from stellar.data.labelled import MaskedSplits
from stellar.evaluation.evaluators.fewer_tokens import counts_of, fewer_tokens, kept
from stellar.evaluation.evaluators.reconstruction import likeness, reconstruction
from stellar.evaluation.evaluators.segmentation import quality, segmentation
from stellar.evaluation.report.page import render_page
from stellar.evaluation.scores import Evaluation, Quantity, Score
from stellar.evaluation.subject import Subject
from stellar.images import fitted, unit_range
from stellar.model import Backbone, Stellar

Make = Callable[..., MaskedSplits]


def values(subject: Subject) -> dict[Quantity, float]:
    return {score.quantity: score.value for score in fewer_tokens(subject)}


@pytest.mark.parametrize(
    ("num_tokens", "counts"),
    [
        (1, ()),
        (2, (1, 2)),
        (5, (1, 2, 3, 4, 5)),
        (16, (1, 2, 3, 4, 6, 8, 12, 16)),
        (64, (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)),
        (65, ()),
    ],
)
def test_counts(num_tokens: int, counts: tuple[int, ...]) -> None:
    assert counts_of(num_tokens) == counts


def test_all_tokens_are_what_the_other_tests_say(
    small: ModelConfig, mosaics: Make, subject_of: Callable[..., Subject]
) -> None:
    subject = subject_of(Stellar(small).eval(), mosaics(), num_seeds=1, epochs=3)
    found = values(subject)
    others = {s.quantity: s.value for test in (reconstruction, segmentation) for s in test(subject)}
    assert found[kept("PSNR", 3)] == pytest.approx(others[likeness("PSNR")], rel=1e-3)
    assert found[kept("mIoU", 3)] == pytest.approx(others[quality("mIoU", "Z")], abs=0.2)
    assert found[kept("numbers", 3)] == small.numbers_per_image()["S and L"]
    assert found[kept("numbers", 1)] == small.numbers_per_image()["S and L"] / 3


@pytest.mark.parametrize("count", [1, 2])
def test_drawings_picture_by_picture(
    small: ModelConfig, mosaics: Make, subject_of: Callable[..., Subject], count: int
) -> None:
    model, data = Stellar(small).eval(), mosaics(num_test=5)
    found = values(subject_of(model, data, num_seeds=1, epochs=1))
    each = []
    for index in range(5):
        image = fitted(data.test.read(index), "squash", small)[None]
        with torch.no_grad():
            drawn = model.reconstruct(model.encode(image).strongest(count))
        error = (drawn - unit_range(image)).double().square().mean().item()
        each.append(-10 * np.log10(error))
    assert found[kept("PSNR", count)] == pytest.approx(np.mean(each), rel=1e-2)


def test_one_token_names_the_picture_by_what_there_is_most_of(
    seeing: Stellar, mosaics: Make, subject_of: Callable[..., Subject]
) -> None:
    """The four tokens are the four colours, so with one of them all of a picture has its class."""
    data = mosaics()
    found = values(subject_of(seeing, data, num_seeds=1, epochs=40))
    assert found[kept("mIoU", 4)] == pytest.approx(100)
    truth, named = [], []
    for index in range(len(data.test)):
        seen = data.test.tiles[index].flatten()  # pyright: ignore[reportAttributeAccessIssue]
        of_token = [(int(seen[0]) + token) % 4 for token in range(4)]
        most = max(of_token, key=lambda colour: int((seen == colour).sum()))
        classes = data.test.masks(index).classes.flatten()
        truth += classes[classes != 255].tolist()
        named += [most] * int((classes != 255).sum())
    expected = jaccard_score(truth, named, average="macro")
    assert found[kept("mIoU", 1)] == pytest.approx(100 * expected)


@pytest.mark.parametrize("tokens", [0, 1])
def test_no_choice_is_no_curve(
    small: ModelConfig, mosaics: Make, subject_of: Callable[..., Subject], tokens: int
) -> None:
    config = replace(small, num_sparse_tokens=tokens)
    model = Stellar(config) if tokens else Backbone(config)
    subject = subject_of(model.eval(), mosaics())
    assert not values(subject)
    assert not subject.notes


def test_too_many_tokens_are_no_curve_and_a_note(
    small: ModelConfig, mosaics: Make, subject_of: Callable[..., Subject]
) -> None:
    subject = subject_of(Stellar(replace(small, num_sparse_tokens=65)).eval(), mosaics())
    assert not values(subject)
    assert subject.notes == [
        "fewer tokens were not measured: the model has 65, and the test is for up to 64"
    ]


def test_the_page_draws_the_curves(make_evaluation: Callable[..., Evaluation]) -> None:
    def curve(shift: float) -> list[Score]:
        return [
            Score(kept(metric, count), 10.0 * count + shift)
            for metric in ("numbers", "PSNR", "mIoU")
            for count in (1, 2, 3)
        ]

    page = render_page(make_evaluation("one", "two", parts=(curve,)))
    assert "Quality against the number of tokens" in page
    assert page.count('<polyline class="path m0"') == 2
    assert page.count('<polyline class="path m1"') == 2
    assert "two, 3: 32.0 dB, 32 numbers" in page
    assert "number of tokens" not in render_page(make_evaluation("one"))
