from dataclasses import replace
from threading import Barrier

import numpy as np
import torch

from stellar.evaluation.features.objects import Objects
from stellar.evaluation.probes import objects
from stellar.evaluation.probes.objects import (
    largest_class_share,
    linear_predict,
    probe_matrix,
)


def test_linear_probe_ignores_the_scale_of_a_feature():
    rng = np.random.default_rng(2)
    labels = torch.from_numpy(rng.integers(0, 3, 200))
    features = torch.nn.functional.one_hot(labels, 3).float() + 0.2 * torch.randn(200, 3)
    scale = torch.tensor([1e-3, 1.0, 1e3])
    plain = linear_predict(features[:150], labels[:150], features[150:])
    scaled = linear_predict(features[:150] * scale, labels[:150], features[150:] * scale)
    assert (plain == labels[150:]).double().mean() > 0.95
    assert torch.equal(plain, scaled)


def test_degenerate_features_and_labels():
    """One class is always named; constant features do not fail and name a class that exists."""
    features, queries = torch.randn(12, 4), torch.randn(5, 4)
    one_class = torch.full((12,), 2)
    assert linear_predict(features, one_class, queries).tolist() == [2] * 5
    labels = torch.tensor([0, 3] * 6)
    constant = linear_predict(torch.ones(12, 4), labels, torch.ones(5, 4))
    assert set(constant.tolist()) <= {0, 3}
    assert len(linear_predict(features[:1], labels[:1], queries)) == 5


def test_chance_is_the_largest_class():
    assert largest_class_share(torch.tensor([4, 4, 1, 0])) == 0.5


def oracle_objects(num_objects, seed):
    """Objects whose S says the class alone and whose L says the place alone."""
    generator = torch.Generator().manual_seed(seed)
    kind = torch.randint(10, (num_objects,), generator=generator)
    place = torch.randint(4, (num_objects,), generator=generator)
    what = torch.nn.functional.one_hot(kind, 14).float()
    where = torch.nn.functional.one_hot(place, 4).float()
    sparse = what + 0.2 * torch.randn(num_objects, 14, generator=generator)
    features = {
        "S": sparse,
        "L": (where + 0.1 * torch.rand(num_objects, 4, generator=generator)).softmax(dim=1),
        "U": sparse + torch.nn.functional.pad(where, (10, 0)),
    }
    colour = torch.randint(10, (num_objects,), generator=generator)
    labels = {"class": kind, "colour": colour, "place": place}
    area = torch.rand(num_objects, generator=generator)
    return Objects(features, labels, area, {})


def test_regressions_share_the_threads(monkeypatch):
    """As many at once as torch computes in, and none comes out otherwise for it."""
    train, heldout = oracle_objects(200, seed=0), oracle_objects(100, seed=1)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    alone = probe_matrix(train, heldout)
    three = Barrier(3)  # 12 regressions: 3 features, 4 labels

    def together(*arguments):
        three.wait(timeout=60)
        return linear_predict(*arguments)

    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    monkeypatch.setitem(objects.PREDICT, "linear", together)
    assert probe_matrix(train, heldout) == alone


def test_the_matrix_shows_what_in_s_and_where_in_l():
    scores = list(probe_matrix(oracle_objects(800, seed=0), oracle_objects(600, seed=1)))
    accuracy = {(s.feature, s.label, s.probe): s.accuracy for s in scores}
    assert len(scores) == len(accuracy) == 3 * 4 * 2
    for probe in ("kNN", "linear"):
        assert accuracy["S", "class", probe] > 0.9
        assert accuracy["L", "place", probe] > 0.98
        assert accuracy["U", "place", probe] > 0.9
        assert accuracy["S", "place", probe] < 0.35
        assert accuracy["L", "class", probe] < 0.2
        assert max(accuracy[feature, "colour", probe] for feature in ("S", "L")) < 0.2
        assert max(accuracy[feature, "size", probe] for feature in ("S", "L")) < 0.42
    assert {s.label: round(s.chance, 1) for s in scores} == {
        "class": 0.1,
        "colour": 0.1,
        "place": 0.3,
        "size": 0.4,
    }


def test_sizes_are_thirds_of_the_training_objects():
    """A feature that is the area itself names the size; held-out objects are all small here."""
    train, heldout = oracle_objects(300, seed=0), oracle_objects(60, seed=1)
    heldout = replace(heldout, area=heldout.area / 4)
    train, heldout = (
        replace(o, features={"S": o.area[:, None], "U": o.features["U"]}) for o in (train, heldout)
    )
    scores = {(s.feature, s.label, s.probe): s for s in probe_matrix(train, heldout)}
    assert scores["S", "size", "linear"].accuracy == scores["S", "size", "linear"].chance == 1
    assert scores["U", "size", "linear"].accuracy < 0.6


def test_features_and_labels_that_are_not_there_are_left_out():
    train, heldout = oracle_objects(100, seed=0), oracle_objects(50, seed=1)
    train, heldout = (
        replace(o, features={"U": o.features["U"]}, labels={"class": o.labels["class"]})
        for o in (train, heldout)
    )
    found = {(score.feature, score.label) for score in probe_matrix(train, heldout)}
    assert found == {("U", "class"), ("U", "size")}


def test_colours_are_told_apart_by_how_bright_they_are():
    """Grey, dark and light: of the same direction from black."""
    bright = torch.rand(300)
    features = {"colour": bright[:, None].expand(-1, 3) + 0.01 * torch.randn(300, 3)}
    labels = {"class": (bright > 0.5).long()}
    objects = Objects(features, labels, torch.rand(300), {})
    for score in probe_matrix(objects, objects):
        assert score.label == "size" or score.accuracy > 0.95


def test_classes_that_only_the_last_training_objects_have_can_be_named():
    """The penalty is chosen without them."""
    labels = torch.tensor([0, 1] * 40 + [2] * 40)
    features = torch.nn.functional.one_hot(labels, 3).float() + 0.1 * torch.randn(120, 3)
    assert linear_predict(features, labels, torch.eye(3)).tolist() == [0, 1, 2]
