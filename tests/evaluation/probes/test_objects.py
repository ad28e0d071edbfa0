from dataclasses import replace

import numpy as np
import torch

from stellar.evaluation.features.scenes import SceneFeatures
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
    """Objects whose S says the material alone and whose L says the place alone."""
    generator = torch.Generator().manual_seed(seed)
    material = torch.randint(10, (num_objects,), generator=generator)
    quadrant = torch.randint(4, (num_objects,), generator=generator)
    what = torch.nn.functional.one_hot(material, 14).float()
    where = torch.nn.functional.one_hot(quadrant, 4).float()
    sparse = what + 0.2 * torch.randn(num_objects, 14, generator=generator)
    return SceneFeatures(
        sparse=sparse,
        spatial=(where + 0.1 * torch.rand(num_objects, 4, generator=generator)).softmax(dim=1),
        dense=sparse + torch.nn.functional.pad(where, (10, 0)),
        cls=sparse,
        material=material,
        quadrant=quadrant,
        digit=torch.randint(10, (num_objects,), generator=generator),
        area=torch.rand(num_objects, generator=generator),
    )


def test_the_matrix_shows_what_in_s_and_where_in_l():
    scores = probe_matrix(oracle_objects(800, seed=0), oracle_objects(600, seed=1))
    accuracy = {(s.feature, s.label, s.probe): s.accuracy for s in scores}
    assert len(scores) == len(accuracy) == 3 * 4 * 2
    for probe in ("kNN", "linear"):
        assert accuracy["S", "material", probe] > 0.9
        assert accuracy["L", "place", probe] > 0.98
        assert accuracy["dense", "place", probe] > 0.9
        assert accuracy["S", "place", probe] < 0.35
        assert accuracy["L", "material", probe] < 0.2
        assert max(accuracy[feature, "digit", probe] for feature in ("S", "L")) < 0.2
        assert max(accuracy[feature, "size", probe] for feature in ("S", "L")) < 0.42
    assert {s.label: round(s.chance, 1) for s in scores} == {
        "material": 0.1,
        "place": 0.3,
        "digit": 0.1,
        "size": 0.4,
    }


def test_sizes_are_thirds_of_the_training_objects():
    """A feature that is the area itself names the size; held-out objects are all small here."""
    train, heldout = oracle_objects(300, seed=0), oracle_objects(60, seed=1)
    heldout = replace(heldout, area=heldout.area / 4)
    train = replace(train, sparse=train.area[:, None])
    heldout = replace(heldout, sparse=heldout.area[:, None])
    scores = {(s.feature, s.label, s.probe): s for s in probe_matrix(train, heldout)}
    assert scores["S", "size", "linear"].accuracy == scores["S", "size", "linear"].chance == 1
    assert scores["dense", "size", "linear"].accuracy < 0.6


def test_features_that_a_model_does_not_have_are_left_out():
    train, heldout = oracle_objects(100, seed=0), oracle_objects(50, seed=1)
    train, heldout = (
        replace(o, sparse=o.cls[:, :0], spatial=o.cls[:, :0]) for o in (train, heldout)
    )
    assert {score.feature for score in probe_matrix(train, heldout)} == {"dense"}
