import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.metrics import average_precision_score, log_loss, top_k_accuracy_score
from torch import nn

from stellar.evaluation.probes.linear import (
    LEARNING_RATES,
    Heads,
    linear_probe,
    normalised,
    train_heads,
)

RATES = (1e-4, 1e-3, 1e-2)


def labelled(num_images, seed, num_classes=8):
    """A strong and a weak feature of other width and scale, and the labels."""
    directions = torch.randn(num_classes, 20, generator=torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(num_classes, (num_images,), generator=generator)
    noise = torch.randn(num_images, 20, generator=generator)
    features = {
        "weak": 0.01 * (directions[labels] + 4 * noise)[:, :10],
        "strong": directions[labels] + noise,
    }
    return features, labels


def train_alone(features, labels, batches, num_classes, rate):
    """One head as everybody writes it."""
    layer = nn.Linear(features.shape[1], num_classes)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    optimizer = torch.optim.Adam(layer.parameters())
    for step, batch in enumerate(batches):
        optimizer.param_groups[0]["lr"] = rate * (1 + math.cos(math.pi * step / len(batches))) / 2
        optimizer.zero_grad()
        logits = layer(F.layer_norm(features[batch], features.shape[1:]))
        F.cross_entropy(logits, labels[batch]).backward()
        optimizer.step()
    return layer


def test_every_head_is_what_it_would_be_alone():
    features, labels = labelled(300, seed=1)
    batches = torch.randperm(300).repeat(5).split(64)
    heads = train_heads(features, labels, batches, 8, RATES)
    for name, rows in features.items():
        for rate in RATES:
            found, alone = heads[name].only(rate), train_alone(rows, labels, batches, 8, rate)
            torch.testing.assert_close(found.weight[0], alone.weight, atol=1e-5, rtol=0)
            torch.testing.assert_close(found.bias[0], alone.bias, atol=1e-5, rtol=0)
            assert found.weight.abs().max() > rate


def test_the_probe_of_many_rates_chooses_as_many_probes_of_one():
    (train, labels), (test, truth) = labelled(400, seed=1), labelled(200, seed=2)
    joint = linear_probe(train, labels, test, truth, 8, RATES, batch_size=64)
    assert [(s.feature, s.learning_rate) for s in joint.validation] == [
        (name, rate) for name in train for rate in RATES
    ]
    alone = [
        linear_probe({name: train[name]}, labels, {name: test[name]}, truth, 8, (rate,), 10, 64)
        for name in train
        for rate in RATES
    ]
    for score, single in zip(joint.validation, alone, strict=True):
        assert score.loss == pytest.approx(single.validation[0].loss, abs=1e-5)
        assert score.accuracies[0] == pytest.approx(single.validation[0].accuracies[0], abs=1e-5)
    best = max(alone, key=lambda r: (r.validation[0].accuracies[0], -r.validation[0].loss))
    assert (joint.feature, joint.learning_rate) == (best.feature, best.learning_rate)
    assert joint.accuracies == pytest.approx(best.accuracies, abs=1e-5)
    assert joint.feature == "strong"
    assert joint.accuracies[0] > 0.9


def test_scores_agree_with_scikit_learn():
    features, labels = labelled(150, seed=3)
    heads = train_heads(features, labels, torch.arange(150).split(50), 8, RATES)
    for name, rows in features.items():
        logits = heads[name].logits(normalised(rows, torch.arange(150), rows.device))
        found = heads[name].scores(rows, labels, torch.arange(150).split(64))
        for index, score in enumerate(found):
            p, classes = logits[:, index].double().softmax(1).numpy(), np.arange(8)
            top1, top5 = (top_k_accuracy_score(labels, p, k=k, labels=classes) for k in (1, 5))
            assert score.accuracies[0] == pytest.approx(top1, abs=1e-9)
            assert score.accuracies[1] == pytest.approx(top5, abs=1e-9)
            assert score.loss == pytest.approx(log_loss(labels, p, labels=classes), abs=1e-6)


def test_the_test_images_choose_nothing():
    """Labels that are wrong in the test set alone change its score and nothing else."""
    (train, labels), (test, truth) = labelled(200, seed=1), labelled(100, seed=2)
    right = linear_probe(train, labels, test, truth, 8, RATES, epochs=3)
    wrong = linear_probe(train, labels, test, (truth + 1) % 8, 8, RATES, epochs=3)
    assert right.validation == wrong.validation
    assert (right.feature, right.learning_rate) == (wrong.feature, wrong.learning_rate)
    assert right.accuracies[0] > wrong.accuracies[0]


def test_among_equals_the_head_of_least_loss_is_chosen():
    labels = torch.arange(8).repeat(20)
    rows = {"S": torch.eye(8)[labels]}
    result = linear_probe(rows, labels, rows, labels, 8, RATES)
    assert {score.accuracies[0] for score in result.validation} == {1}
    losses = {score.learning_rate: score.loss for score in result.validation}
    assert result.learning_rate == min(losses, key=losses.__getitem__) == 1e-2


def test_held_out_images_are_not_trained_on():
    """Labels without a rule are learned by heart from the images of the fit, and only there."""
    train, test = {"noise": torch.randn(100, 300)}, {"noise": torch.randn(10, 300)}
    labels = torch.randint(10, (100,))
    result = linear_probe(train, labels, test, labels[:10], 10, (1e-2,), epochs=100)
    assert result.validation[0].accuracies[0] < 0.5
    heads = train_heads(train, labels, [torch.arange(100)] * 100, 10, (1e-2,))
    assert heads["noise"].scores(train["noise"], labels, [torch.arange(100)])[0].accuracies[0] == 1


def test_half_precision_features_are_read_as_they_are():
    (train, labels), (test, truth) = labelled(200, seed=1), labelled(100, seed=2)
    half = {name: rows.half() for name, rows in train.items()}
    whole = {name: rows.float() for name, rows in half.items()}
    arguments = (labels, test, truth, 8, RATES, 3)
    assert linear_probe(half, *arguments) == linear_probe(whole, *arguments)


def test_rates_span_the_published_sweep():
    assert len(LEARNING_RATES) == 12
    np.testing.assert_allclose(LEARNING_RATES, np.logspace(-5, -2, 12), rtol=1e-12)


@pytest.mark.parametrize("num_classes", [2, 3, 5])
def test_top5_of_few_classes_is_certain(num_classes):
    (train, labels), (test, truth) = labelled(60, 1, num_classes), labelled(30, 2, num_classes)
    result = linear_probe(train, labels, test, truth, num_classes, RATES, epochs=1)
    assert result.accuracies[1] == 1
    assert {score.accuracies[1] for score in result.validation} == {1}


def test_constant_features_name_the_most_frequent_class():
    labels = torch.tensor([2] * 30 + [0] * 10)
    rows = {"cls": torch.full((40, 4), 3.0)}
    result = linear_probe(rows, labels, rows, labels, 3, RATES)
    assert result.accuracies[0] == 0.75
    assert all(math.isfinite(score.loss) for score in result.validation)


def test_a_class_that_one_side_lacks_and_a_lone_image():
    (train, labels), (test, truth) = labelled(100, seed=1), labelled(50, seed=2)
    absent = {name: rows[truth != 3] for name, rows in test.items()}
    whole = linear_probe(train, labels, test, truth, 9, RATES)
    part = linear_probe(train, labels, absent, truth[truth != 3], 9, RATES)
    assert part.validation == whole.validation
    lone = {name: rows[:1] for name, rows in train.items()}
    result = linear_probe(lone, labels[:1], lone, labels[:1], 8, RATES)
    assert result.accuracies == (1, 1)


def test_layers_share_no_more_than_their_rows():
    """The gradient of each layer is that of its own loss, by autograd."""
    x, labels = torch.randn(16, 6), torch.randint(4, (16,))
    weight, bias = torch.randn(3, 4, 6), torch.randn(3, 4)
    gradient = Heads("cls", RATES, torch.zeros_like(weight), torch.zeros_like(bias))
    Heads("cls", RATES, weight, bias).write_gradient(x, labels, gradient)
    for index in range(3):
        w, b = weight[index].requires_grad_(), bias[index].requires_grad_()
        dw, db = torch.autograd.grad(F.cross_entropy(F.linear(x, w, b), labels), (w, b))
        torch.testing.assert_close(gradient.weight[index], dw)
        torch.testing.assert_close(gradient.bias[index], db)


def several(num_images, seed):
    """Features whose first numbers say which of five classes an image has."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.rand(num_images, 5, generator=generator) < 0.4
    noise = torch.randn(num_images, 16, generator=generator)
    strong = noise + 5 * F.pad(labels.float(), (0, 11))
    return {"weak": noise, "strong": strong}, labels


def test_heads_of_several_labels_are_what_they_would_be_alone():
    features, labels = several(200, seed=1)
    batches = torch.randperm(200).repeat(4).split(64)
    heads = train_heads(features, labels, batches, 5, RATES)
    for rate in RATES:
        layer = nn.Linear(16, 5)
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)
        optimizer = torch.optim.Adam(layer.parameters())
        for step, batch in enumerate(batches):
            cosine = math.cos(math.pi * step / len(batches))
            optimizer.param_groups[0]["lr"] = rate * (1 + cosine) / 2
            optimizer.zero_grad()
            logits = layer(F.layer_norm(features["strong"][batch], (16,)))
            truth = labels[batch].float()
            loss = F.binary_cross_entropy_with_logits(logits, truth, reduction="sum")
            (loss / len(batch)).backward()
            optimizer.step()
        found = heads["strong"].only(rate)
        torch.testing.assert_close(found.weight[0], layer.weight, atol=1e-5, rtol=0)
        torch.testing.assert_close(found.bias[0], layer.bias, atol=1e-5, rtol=0)


def test_scores_of_several_labels_agree_with_scikit_learn():
    features, labels = several(150, seed=3)
    heads = train_heads(features, labels, torch.arange(150).split(50), 5, RATES)["strong"]
    logits = heads.logits(normalised(features["strong"], torch.arange(150), torch.device("cpu")))
    found = heads.scores(features["strong"], labels, torch.arange(150).split(64))
    for index, score in enumerate(found):
        expected = average_precision_score(labels.numpy(), logits[:, index].numpy())
        assert score.accuracies == pytest.approx((expected,), abs=1e-6)
        p = logits[:, index].double().sigmoid().numpy()
        losses = [log_loss(labels[:, c], p[:, c], labels=[False, True]) for c in range(5)]
        assert score.loss == pytest.approx(sum(losses), abs=1e-6)


def test_the_probe_of_several_labels_takes_the_best_feature():
    (train, labels), (test, truth) = several(400, seed=1), several(200, seed=2)
    result = linear_probe(train, labels, test, truth, 5, RATES, batch_size=64)
    best = max(result.validation, key=lambda s: (s.accuracies[0], -s.loss))
    assert (result.feature, result.learning_rate) == (best.feature, best.learning_rate)
    assert result.feature == "strong"
    assert len(result.accuracies) == 1
    assert result.accuracies[0] > 0.9
    absent = truth.clone()
    absent[:, 3] = False
    part = linear_probe(train, labels, test, absent, 5, RATES, batch_size=64)
    assert part.validation == result.validation
    assert part.accuracies[0] > 0.9
    assert part.accuracies != result.accuracies
