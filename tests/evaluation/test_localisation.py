import numpy as np
import pytest
import torch
from sklearn.metrics import adjusted_rand_score

from stellar.evaluation.localisation import adjusted_rand_index, segment


def oracle(truth, prediction):
    return [
        adjusted_rand_score(a.flatten(), b.flatten())
        for a, b in zip(truth, prediction, strict=True)
    ]


@pytest.mark.parametrize(("num_true", "num_predicted"), [(4, 6), (2, 64), (30, 3)])
def test_agrees_with_scikit_learn_on_random_segments(num_true, num_predicted):
    rng = np.random.default_rng(num_true)
    truth = torch.from_numpy(rng.integers(0, num_true, (7, 9, 11)))
    noise = torch.from_numpy(rng.integers(0, num_predicted, (7, 9, 11)))
    prediction = torch.where(torch.from_numpy(rng.random((7, 9, 11)) < 0.5), truth, noise)
    assert adjusted_rand_index(truth, prediction).tolist() == pytest.approx(
        oracle(truth, prediction), abs=1e-9
    )


def test_agrees_with_scikit_learn_on_degenerate_segments():
    one, two = torch.zeros(6, 6, dtype=torch.int64), torch.ones(6, 6, dtype=torch.int64)
    half = torch.arange(36).reshape(6, 6) // 18
    pixels = torch.arange(36).reshape(6, 6)
    lone_pixel = (pixels == 7).long()
    cases = [one, two, half, pixels, lone_pixel]
    truth = torch.stack([a for a in cases for _ in cases])
    prediction = torch.stack([b for _ in cases for b in cases])
    assert adjusted_rand_index(truth, prediction).tolist() == pytest.approx(
        oracle(truth, prediction), abs=1e-9
    )


def test_the_names_of_the_segments_do_not_matter():
    rng = np.random.default_rng(0)
    truth = torch.from_numpy(rng.integers(0, 5, (3, 8, 8))).to(torch.uint8)
    renamed = torch.tensor([17, 3, 40, 0, 8])[truth.long()]
    assert adjusted_rand_index(truth, renamed).tolist() == [1, 1, 1]


def test_a_single_pixel_image_is_equal_to_itself():
    image = torch.zeros(1, 1, 1, dtype=torch.uint8)
    assert adjusted_rand_index(image, image).tolist() == [1]


def test_does_not_lose_digits_on_large_images():
    truth = torch.zeros(1, 3000, 3000, dtype=torch.int64)
    truth[:, :, :1] = 1
    assert adjusted_rand_index(truth, truth).item() == 1
    shifted = truth.roll(1, dims=2)
    assert -0.01 < adjusted_rand_index(truth, shifted).item() < 0


def test_perfect_maps_give_one():
    """Each segment has its token, and segments follow patch borders that bilinear L still finds."""
    truth = torch.zeros(2, 4, 6, dtype=torch.int64)
    truth[0, :2, :3] = 1
    truth[1, :, 2:4] = 2
    maps = torch.nn.functional.one_hot(truth, 5).permute(0, 3, 1, 2).float()
    pixels = truth.repeat_interleave(8, dim=1).repeat_interleave(8, dim=2)
    found = segment(maps, (32, 48))
    assert (found != pixels).float().mean() < 0.01, "only corners are rounded"
    assert adjusted_rand_index(pixels, found).min() > 0.95
    assert adjusted_rand_index(truth, segment(maps, (4, 6))).tolist() == [1, 1]
