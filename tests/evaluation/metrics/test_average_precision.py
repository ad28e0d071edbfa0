"""Average precision against scikit-learn's, with ties and degenerate labels."""

import pytest
import torch
from sklearn.metrics import average_precision_score

from stellar.evaluation.metrics.average_precision import average_precision, mean_average_precision


@pytest.mark.parametrize("num_levels", [1, 2, 5, 1000])
@pytest.mark.parametrize("num_images", [1, 2, 7, 300])
def test_agrees_with_scikit_learn(num_levels: int, num_images: int) -> None:
    """Few levels of scores: many ties."""
    generator = torch.Generator().manual_seed(num_levels)
    scores = torch.randint(num_levels, (num_images, 6), generator=generator) / num_levels - 0.5
    labels = torch.rand(num_images, 6, generator=generator) < torch.linspace(0.05, 1, 6)
    labels[0] = True
    for column, found in enumerate(average_precision(scores, labels).tolist()):
        expected = average_precision_score(labels[:, column].numpy(), scores[:, column].numpy())
        assert found == pytest.approx(expected, abs=1e-9)
    macro = average_precision_score(labels.numpy(), scores.numpy(), average="macro")
    assert mean_average_precision(scores, labels).item() == pytest.approx(macro, abs=1e-9)


def test_the_order_of_the_images_is_of_no_account() -> None:
    scores, labels = torch.randint(4, (50, 3)).float(), torch.rand(50, 3) < 0.3
    order = torch.randperm(50)
    found = average_precision(scores[order], labels[order])
    torch.testing.assert_close(found, average_precision(scores, labels))


def test_by_hand() -> None:
    scores = torch.tensor([[0.9], [0.8], [0.8], [0.1]])
    labels = torch.tensor([[False], [True], [False], [True]])
    # At 0.8: half of them found, 1 of 3 right; at 0.1: all found, 2 of 4 right.
    assert average_precision(scores, labels).item() == pytest.approx(0.5 * 1 / 3 + 0.5 * 2 / 4)


def test_a_class_that_is_absent_is_left_out_of_the_mean() -> None:
    scores, labels = torch.randn(40, 4), torch.rand(40, 4) < 0.5
    labels[:, 2] = False
    assert average_precision(scores, labels).isnan().tolist() == [False, False, True, False]
    rest = [0, 1, 3]
    expected = average_precision_score(labels[:, rest].numpy(), scores[:, rest].numpy())
    assert mean_average_precision(scores, labels).item() == pytest.approx(expected, abs=1e-9)
    assert mean_average_precision(scores, torch.zeros(40, 4, dtype=torch.bool)).item() == 0


def test_constant_scores_give_the_share_of_the_class() -> None:
    labels = torch.arange(10)[:, None] < torch.tensor([3, 10])
    found = average_precision(torch.zeros(10, 2), labels)
    torch.testing.assert_close(found, torch.tensor([0.3, 1.0], dtype=torch.float64))
