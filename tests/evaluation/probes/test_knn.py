import numpy as np
import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier

from stellar.evaluation.probes.knn import knn_accuracy, knn_predict


def clusters(num_images, seed, num_classes=7, width=12):
    """Features around one random direction a class, near enough to be confused."""
    directions = np.random.default_rng(0).normal(size=(num_classes, width))
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, num_classes, num_images)
    features = directions[labels] + 1.5 * rng.normal(size=(num_images, width))
    return torch.from_numpy(features), torch.from_numpy(labels)


@pytest.mark.parametrize("temperature", [0.07, 0.5])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_agrees_with_scikit_learn(temperature, dtype):
    train, labels = clusters(500, seed=1)
    test, truth = clusters(300, seed=2)
    train, test = train.to(dtype), test.to(dtype)
    found = knn_predict(train, labels, test, (50, 1, 10), temperature, chunk_size=64)
    accuracy = knn_accuracy(train, labels, test, truth, (50, 1, 10), temperature)
    assert list(found) == list(accuracy) == [1, 10, 50]
    for k, named in found.items():
        oracle = KNeighborsClassifier(k, metric="cosine", algorithm="brute")
        oracle.set_params(weights=lambda distance: np.exp((1 - distance) / temperature))
        oracle.fit(train, labels)
        assert np.array_equal(named.numpy(), oracle.predict(test))
        assert accuracy[k] == pytest.approx(oracle.score(test, truth), abs=1e-12)


def test_parts_of_any_size_and_half_precision_change_nothing():
    train, labels = clusters(200, seed=1)
    train, (test, _) = train.half(), clusters(90, seed=2)
    whole = knn_predict(train.double(), labels, test, chunk_size=1000)
    for chunk_size in (1, 7, 200):
        parts = knn_predict(train, labels, test, chunk_size=chunk_size)
        assert all(torch.equal(parts[k], whole[k]) for k in whole)
    half = knn_predict(train, labels, test.half())
    rounded = knn_predict(train.float(), labels, test.half().float())
    assert all(torch.equal(half[k], rounded[k]) for k in half)


def test_all_training_images_vote_where_there_are_fewer_than_k():
    train, labels = clusters(12, seed=1)
    test, truth = clusters(30, seed=2)
    accuracy = knn_accuracy(train, labels, test, truth, (12, 20, 100))
    assert accuracy[12] == accuracy[20] == accuracy[100]
    assert knn_predict(train[:1], labels[:1], test, (10,))[10].tolist() == [labels[0]] * 30


def test_equal_cosines_rank_the_earlier_image_and_equal_votes_the_lower_class():
    """Constant features: the first k images vote, with equal weights."""
    labels = torch.tensor([4, 2, 2, 4, 0, 0, 0])
    found = knn_predict(torch.ones(7, 3), labels, torch.ones(2, 3), (1, 3, 4, 7), chunk_size=2)
    assert {k: named.tolist() for k, named in found.items()} == {
        1: [4, 4],
        3: [2, 2],
        4: [2, 2],
        7: [0, 0],
    }


def test_zero_features_and_classes_on_one_side_only():
    assert knn_accuracy(
        torch.zeros(4, 3), torch.tensor([1, 1, 0, 0]), torch.zeros(2, 3), torch.tensor([1, 0]), (3,)
    ) == {3: 0.5}
    train = torch.eye(3)
    unseen = knn_accuracy(train, torch.tensor([0, 5, 5]), train, torch.tensor([0, 9, 9]), (1,))
    assert unseen == {1: pytest.approx(1 / 3)}


def test_a_vote_of_small_temperature_is_that_of_the_nearest():
    train, labels = clusters(100, seed=1)
    test, _ = clusters(40, seed=2)
    found = knn_predict(train, labels, test, (1, 100), temperature=1e-4)
    assert torch.equal(found[1], found[100])
