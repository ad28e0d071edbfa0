import pytest
import torch

from stellar.config import DecoderConfig, ModelConfig
from stellar.data.cutouts import MATERIALS, Cutouts, Scene, SceneObject
from stellar.evaluation.features.scenes import (
    SceneBatch,
    collect,
    encode_scenes,
    object_features,
    pixel_shares,
)
from stellar.model import Factors, Stellar


def tiny_model():
    torch.manual_seed(0)
    decoder = DecoderConfig(target="pixels", embed_dim=16, depth=1, num_heads=2)
    return Stellar(
        ModelConfig(
            image_size=24,
            patch_size=6,
            embed_dim=16,
            depth=1,
            num_heads=2,
            num_sparse_tokens=4,
            decoder=decoder,
        )
    )


def object_of(material, digit=0, quadrant=0):
    return SceneObject(material, digit, quadrant, centre=(0.5, 0.5), size=0.5, visible=1.0)


def scene_of(instances, objects):
    return Scene(
        image=torch.zeros(3, *instances.shape, dtype=torch.uint8),
        instances=instances,
        background=0,
        objects=objects,
    )


def batch_of(scenes, factors):
    images = torch.stack([scene.image for scene in scenes])
    instances = torch.stack([scene.instances for scene in scenes])
    return SceneBatch(tuple(scenes), images, instances, factors)


def test_pixel_shares_count_the_pixels_of_each_patch():
    instances = torch.zeros(2, 4, 6, dtype=torch.uint8)
    instances[0, 0, 1:4] = 1
    instances[1, 2:, 4:] = 2
    shares = pixel_shares(instances, torch.tensor([0, 1, 1]), torch.tensor([1, 2, 1]), (2, 3))
    assert torch.allclose(shares[0], torch.tensor([1, 2, 0, 0, 0, 0]) / 3)
    assert torch.allclose(shares[1], torch.tensor([0.0, 0, 0, 0, 0, 1]))
    assert shares[2].tolist() == [0] * 6, "the third object is hidden"


def test_an_object_gets_the_token_that_explains_most_of_it():
    """Object 1 touches two patches; three of its four pixels lie in the patch of token 2."""
    instances = torch.zeros(2, 4, dtype=torch.uint8)
    instances[0, 1:] = 1
    instances[1, 2] = 1
    instances[1, 0] = 2
    objects = (object_of(material=5, digit=7, quadrant=1), object_of(3, 0, 2))
    spatial = torch.tensor([[[0.9, 0.1, 0.0], [0.1, 0.0, 0.9]]])
    factors = Factors(
        cls=torch.randn(1, 4),
        sparse=torch.randn(1, 3, 4),
        spatial=spatial,
        dense=torch.randn(1, 2, 4),
        grid=(1, 2),
    )
    found = object_features(batch_of([scene_of(instances, objects)], factors))
    assert torch.equal(found.sparse, factors.sparse[0, [2, 0]])
    assert torch.equal(found.spatial, spatial[0, :, [2, 0]].T)
    expected = 0.25 * factors.dense[0, 0] + 0.75 * factors.dense[0, 1]
    assert torch.allclose(found.dense, torch.stack([expected, factors.dense[0, 0]]))
    assert torch.equal(found.cls, factors.cls.expand(2, 4))
    assert (found.material.tolist(), found.digit.tolist()) == ([5, 3], [7, 0])
    assert found.quadrant.tolist() == [1, 2]
    assert found.area.tolist() == [0.5, 0.125]


def test_a_hidden_object_is_left_out():
    instances = torch.full((2, 2), 2, dtype=torch.uint8)
    objects = (object_of(material=4), object_of(material=6))
    factors = Factors(torch.randn(1, 4), torch.randn(1, 3, 4), torch.ones(1, 4, 3) / 3,
                      torch.randn(1, 4, 4), (2, 2))  # fmt: skip
    assert object_features(batch_of([scene_of(instances, objects)], factors)).material.tolist() == [
        6
    ]


def test_a_model_without_tokens_has_dense_features_alone():
    instances = torch.ones(2, 2, dtype=torch.uint8)
    dense = torch.randn(1, 4, 5)
    factors = Factors(torch.randn(1, 5), torch.empty(1, 0, 5), torch.empty(1, 4, 0), dense, (2, 2))
    found = object_features(batch_of([scene_of(instances, (object_of(1),))], factors))
    assert found.sparse.shape == found.spatial.shape == (1, 0)
    assert torch.allclose(found.dense, dense.mean(dim=1))


@pytest.fixture(scope="module")
def cutouts():
    return Cutouts("heldout", size=24)


def test_collect_sees_every_object_once_and_does_not_depend_on_the_batch_size(cutouts):
    model, indices = tiny_model(), range(10, 21)
    features = collect(model, cutouts, indices, batch_size=64)
    small = collect(model, cutouts, indices, batch_size=4)
    objects = [o for index in indices for o in cutouts.scene(index).objects]
    assert features.material.tolist() == [o.material for o in objects]
    assert features.quadrant.tolist() == [o.quadrant for o in objects]
    assert features.digit.tolist() == [o.digit for o in objects]
    assert features.material.max() < len(MATERIALS)
    assert features.sparse.shape == features.dense.shape == features.cls.shape == (len(objects), 16)
    assert features.spatial.shape == (len(objects), 16)
    for name in ("sparse", "spatial", "dense", "cls"):
        assert torch.allclose(getattr(features, name), getattr(small, name), atol=1e-5)


def test_encoding_scenes_streams_and_keeps_no_graph(cutouts):
    model = tiny_model()
    batches = encode_scenes(model, cutouts, range(10_000_000), batch_size=3)
    batch = next(batches)
    assert batch.images.shape == (3, 3, 24, 24)
    assert torch.equal(batch.instances[1], cutouts.scene(1).instances)
    assert not batch.factors.sparse.requires_grad


def test_scenes_of_another_size_are_fitted_to_the_model():
    model = tiny_model()
    batch = next(encode_scenes(model, Cutouts("heldout", size=48), range(2)))
    assert batch.factors.grid == (4, 4)
    assert batch.instances.shape == (2, 48, 48)
    assert len(object_features(batch)) > 0
