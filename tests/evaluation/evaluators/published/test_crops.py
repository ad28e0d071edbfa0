"""The pictures of the published probes: seeds and epochs decide crops, and masks are cut with
them.
"""

import pickle

import pytest
import torch

from stellar.evaluation.evaluators.published.crops import CentreCrops, RandomCrops, nearest_pixels


class Places:
    """Pictures whose every pixel says where it is: row, column, and the number of the picture."""

    channels = 3

    def __init__(self, length: int, height: int, width: int) -> None:
        self.length, self.sides = length, (height, width)

    def __len__(self) -> int:
        return self.length

    def name(self, index: int) -> str:
        return f"picture {index}"

    def read(self, index: int) -> torch.Tensor:
        y, x = torch.meshgrid(*map(torch.arange, self.sides), indexing="ij")
        return torch.stack([y, x, torch.full_like(y, index)]).byte()


def test_every_epoch_has_other_crops_of_the_same_pictures() -> None:
    source = Places(3, 60, 80)
    crops = RandomCrops(source, 16, (0.2, 1.0), seed=5, epochs=2)
    assert (len(crops), crops.name(4)) == (6, "picture 1")
    for index in range(6):
        picture = crops.read(index)
        assert picture.shape == (3, 16, 16)
        assert picture[2].unique().tolist() == [index % 3]
        assert torch.equal(picture, pickle.loads(pickle.dumps(crops)).read(index))
    assert not torch.equal(crops.read(0), crops.read(3))
    other = RandomCrops(source, 16, (0.2, 1.0), seed=6, epochs=2)
    assert not torch.equal(crops.read(0), other.read(0))


def test_areas_lie_in_the_scale_and_half_is_mirrored() -> None:
    crops = RandomCrops(Places(1, 100, 100), 32, (0.2, 1.0), seed=0, epochs=200)
    areas, mirrored = [], 0
    for index in range(200):
        picture = crops.read(index).float()
        spans = [picture[0].max() - picture[0].min(), picture[1].max() - picture[1].min()]
        areas.append(float(spans[0] + 3) * float(spans[1] + 3) / 1e4)
        mirrored += bool(picture[1, 0, 0] > picture[1, 0, -1])
    assert 0.15 < min(areas) < 0.3
    assert 0.85 < max(areas) < 1.1
    assert 70 < mirrored < 130


@pytest.mark.parametrize("sides", [(60, 80), (90, 50), (40, 40)])
def test_a_mask_is_cut_where_its_picture_is(sides: tuple[int, int]) -> None:
    source = Places(2, *sides)
    for crops in (RandomCrops(source, 32, (0.25, 1.0), 1, 4), CentreCrops(source, 32)):
        for index in range(len(crops)):
            rows, columns, _ = source.read(index % 2)
            picture = crops.read(index).float()
            for channel, mask in enumerate((rows, columns)):
                cut = crops.cut_mask(mask, index)
                assert cut.shape == (32, 32)
                scale = max(sides) / 32
                assert (cut.float() - picture[channel]).abs().max() <= scale + 2


def test_the_centre_is_that_of_a_picture_whose_short_side_is_256_224ths() -> None:
    source = Places(1, 256, 300)
    assert torch.equal(CentreCrops(source, 224).read(0), source.read(0)[:, 16:240, 38:262])
    tall = CentreCrops(Places(1, 120, 48), 21).read(0).float()
    rows, columns = 2 * torch.arange(19, 40) + 0.5, 2 * torch.arange(1, 22) + 0.5
    torch.testing.assert_close(tall[0], rows[:, None].expand(21, 21), atol=1.0, rtol=0)
    torch.testing.assert_close(tall[1], columns.expand(21, 21), atol=1.0, rtol=0)


def test_a_patch_has_the_class_of_its_upper_left_pixel() -> None:
    mask = torch.randint(5, (224, 224)).byte()
    assert torch.equal(nearest_pixels(mask, 14, 14), mask[::16, ::16])
