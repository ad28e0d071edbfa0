"""What is told of each object: its token and that token's map, Z and U and the colours under its
mask, what it is, and how many tokens it takes.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from stellar.data.folder import evenly_spread
from stellar.data.labelled import IGNORED, MaskedSplits, Masks
from stellar.data.scenes import Scenes
from stellar.evaluation.features.objects import FEATURES, NUM_TOKENS, PURITY, Objects, collect
from stellar.evaluation.features.patches import Patches, extract_patches
from stellar.model import Backbone, Stellar

Collected = Callable[..., Objects]


class OnePicture:
    """A picture with these masks, black but for what is given."""

    channels = 3

    def __init__(self, masks: Masks, image: Tensor | None = None) -> None:
        self.its_masks = masks
        black = torch.zeros(3, *masks.classes.shape, dtype=torch.uint8)
        self.image = black if image is None else image

    def __len__(self) -> int:
        return 1

    def name(self, index: int) -> str:
        return f"picture {index}"

    def read(self, index: int) -> Tensor:
        assert index == 0
        return self.image

    def masks(self, index: int) -> Masks:
        assert index == 0
        return self.its_masks


@pytest.fixture
def collected(tmp_path: Path) -> Collected:
    """The objects of one picture on a grid of 1 x 2 patches, whose factors are given."""

    def make(
        masks: Masks, sparse: Tensor, spatial: Tensor, dense: Tensor, image: Tensor | None = None
    ) -> Objects:
        shares = torch.zeros(2, 1)
        for name, rows in (
            ("cls", dense[:1].mean(dim=0)), ("U", dense), ("S", sparse), ("L", spatial),
            ("H", shares), ("places", torch.tensor(0)),
        ):  # fmt: skip
            np.save(tmp_path / f"{name}.npy", rows[None].numpy())
        patches = Patches(tmp_path, (1, 2), ())
        return collect(patches, OnePicture(masks, image), [0])

    return make


def two_objects() -> Masks:
    """Object 1 has three of its four pixels in the right patch; object 2 is a pixel in the left."""
    instances = torch.tensor([[0, 1, 1, 1], [2, 0, 1, 0]], dtype=torch.uint8)
    classes = torch.tensor([[0, 5, 5, 5], [3, 0, 4, 0]], dtype=torch.uint8)
    return Masks(classes, instances, {"colour": (7, 6)})


def test_an_object_gets_the_token_that_explains_most_of_it(collected: Collected) -> None:
    sparse, dense = torch.randn(3, 4), torch.randn(2, 4)
    spatial = torch.tensor([[0.9, 0.1, 0.0], [0.1, 0.0, 0.9]])
    found = collected(two_objects(), sparse, spatial, dense)
    assert torch.equal(found.features["S"], sparse[[2, 0]])
    assert torch.equal(found.features["L"], spatial[:, [2, 0]].T)
    shares = torch.tensor([[0.25, 0.75], [1.0, 0.0]])
    torch.testing.assert_close(found.features["U"], shares @ dense)
    torch.testing.assert_close(found.features["Z"], shares @ (spatial @ sparse))
    assert {name: labels.tolist() for name, labels in found.labels.items()} == {
        "class": [5, 3],
        "place": [1, 2],
        "colour": [7, 6],
    }
    assert found.area.tolist() == [0.5, 0.125]


def test_how_whole_an_object_is(collected: Collected) -> None:
    """Object 1 is three quarters in a patch of token 0 alone, and a quarter in one of both others;
    object 2 in the latter, where no token alone holds four fifths.
    """
    spatial = torch.tensor([[0.0, 0.5, 0.5], [1.0, 0.0, 0.0]])
    found = collected(two_objects(), torch.randn(3, 4), spatial, torch.randn(2, 4))
    num_tokens, purity = found.wholeness[NUM_TOKENS], found.wholeness[PURITY]
    assert num_tokens.tolist() == [2, 2]
    # It covers three quarters of the right patch, which is all of token 0's map.
    assert purity[0] == pytest.approx(0.75)
    assert purity[1] == pytest.approx(0.25)


def test_colours_under_the_mask(collected: Collected) -> None:
    masks = two_objects()
    image = torch.zeros(3, 2, 4, dtype=torch.uint8)
    image[0][masks.instances == 1] = 255
    image[2, 1, 0] = 51
    image[0, 0, 1] = 0
    factors = torch.randn(3, 4), torch.eye(2, 3), torch.randn(2, 4)
    found = collected(masks, *factors, image)
    expected = torch.tensor([[0.75, 0, 0], [0, 0, 0.2]])
    torch.testing.assert_close(found.features["colour"], expected)
    spread = torch.tensor([[0.75**0.5 * 0.5, 0, 0], [0, 0, 0]])
    torch.testing.assert_close(
        found.features["colours"], torch.cat([expected, spread], dim=1), atol=1e-3, rtol=0
    )
    of_more_bits = collected(masks, *factors, image.float() / 255)
    torch.testing.assert_close(of_more_bits.features["colours"], found.features["colours"])


def test_objects_of_no_known_class_are_left_out(collected: Collected) -> None:
    masks = two_objects()
    masks.classes[masks.instances == 1] = IGNORED
    masks.classes[0, 1:3] = IGNORED
    found = collected(masks, torch.randn(3, 4), torch.eye(2, 3), torch.randn(2, 4))
    assert found.labels["class"].tolist() == [3]
    assert found.labels["colour"].tolist() == [6]


def test_a_model_without_tokens_has_u_and_colours_alone(collected: Collected) -> None:
    dense = torch.randn(2, 5)
    found = collected(two_objects(), torch.empty(0, 5), torch.empty(2, 0), dense)
    assert set(found.features) == {"U", "colour", "colours"}
    assert found.wholeness == {}


def test_every_object_of_every_scene_once(small, tmp_path: Path) -> None:
    scenes = Scenes("heldout", size=16, length=70)
    model = Stellar(small).eval()
    patches = extract_patches(model, scenes, 10, tmp_path, batch_size=7)
    found = collect(patches, scenes, range(len(patches)))
    objects = [o for index in range(70) for o in scenes.scene(index).objects]
    assert set(found.features) == set(FEATURES)
    assert found.labels["class"].tolist() == [o.kind for o in objects]
    assert found.labels["colour"].tolist() == [o.colour for o in objects]
    assert found.labels["place"].tolist() == [o.quadrant for o in objects]
    few = collect(patches, scenes, [3])
    assert len(few) == len(scenes.scene(3).objects)


def test_rows_are_evenly_spread(seeing_backbone: Backbone, mosaics, tmp_path: Path) -> None:
    data: MaskedSplits = mosaics()
    patches = extract_patches(seeing_backbone, data.test, 4, tmp_path)
    assert evenly_spread(patches, 100) == list(range(20))
    assert evenly_spread(patches, 3) == [0, 10, 19]


def test_objects_have_numbers_that_8_bits_do_not_hold(collected: Collected) -> None:
    instances = torch.tensor([[0, 300], [700, 300]], dtype=torch.int32)
    classes = torch.tensor([[0, 4], [5, 4]], dtype=torch.uint8)
    sparse, spatial = torch.eye(2), torch.eye(2)
    objects = collected(Masks(classes, instances), sparse, spatial, torch.ones(2, 2))
    assert objects.labels["class"].tolist() == [4, 5]
    assert objects.area.tolist() == [0.5, 0.25]
    none = collected(Masks(classes, torch.zeros_like(instances)), sparse, spatial, torch.ones(2, 2))
    assert len(none) == 0
