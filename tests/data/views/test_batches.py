"""Views cut on the device: those that workers cut, from pictures of any size."""

from dataclasses import fields, replace

import pytest
import torch

from stellar.config import ConfigError, ViewConfig
from stellar.data.scenes import Scenes
from stellar.data.views.batches import Draws, UncutBatch, ViewBatch
from stellar.data.views.crops import RATIO
from stellar.data.views.multiview import MultiView, around, cut_on, shortest_side, shrunk

VIEWS = ViewConfig(num_masked=3, num_local=2, local_size=24, masking_ratio=0.6)


class Pictures:
    """Smooth pictures of given sizes."""

    def __init__(self, *sizes: tuple[int, int], channels: int = 3, bits: int = 8) -> None:
        self.sizes, self.channels, self.bits = sizes, channels, bits

    def __len__(self) -> int:
        return len(self.sizes)

    def name(self, index: int) -> str:
        return str(index)

    def read(self, index: int) -> torch.Tensor:
        height, width = self.sizes[index]
        down, across = torch.linspace(0, 1, height), torch.linspace(0, 1, width)
        planes = [
            0.5 + 0.4 * torch.sin(5 * down[:, None] + (3 + channel) * across)
            for channel in range(self.channels)
        ]
        image = torch.stack(planes)
        return (255 * image).byte() if self.bits == 8 else image


def both(source: Pictures | Scenes, views: ViewConfig = VIEWS) -> tuple[ViewBatch, UncutBatch]:
    """The same samples, cut by workers and not yet cut."""
    keys = [(1, index) for index in range(min(len(source), 5))]
    batches = [
        MultiView(source, 48, 6, views, 0, uncut).__getitems__(keys) for uncut in (False, True)
    ]
    cut, uncut = batches
    assert isinstance(cut, ViewBatch)
    assert isinstance(uncut, UncutBatch)
    return cut, uncut


def assert_alike(cut: ViewBatch, uncut: UncutBatch) -> None:
    """The same draws, bit by bit, and the same pixels but for their rounding."""
    views = uncut.to("cpu")
    for field in fields(Draws):
        for batch in (uncut, views):
            ours, theirs = getattr(batch, field.name), getattr(cut, field.name)
            assert ours == theirs if field.name == "skipped" else torch.equal(ours, theirs)
    for name in ("full", "masked", "local"):
        ours, theirs = getattr(views, name), getattr(cut, name)
        assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype)
        if ours.numel():
            assert (ours.int() - theirs.int()).abs().max() <= 1


@pytest.mark.parametrize("antialias", [True, False])
def test_both_ways_cut_the_same_crops(antialias: bool) -> None:
    sizes = ((60, 80), (80, 60), (50, 50), (1, 1), (48, 30))
    assert_alike(*both(Pictures(*sizes), replace(VIEWS, antialias=antialias)))


def test_hard_edges_differ_by_little() -> None:
    cut, uncut = both(Scenes("train"))
    difference = (uncut.to("cpu").masked.int() - cut.masked.int()).abs()
    assert difference.float().mean() < 0.5
    assert (difference > 1).float().mean() < 0.02


@pytest.mark.parametrize(("channels", "bits"), [(1, 8), (3, 16), (5, 8), (4, 16)])
def test_channels_and_bits(channels: int, bits: int) -> None:
    assert_alike(*both(Pictures((60, 80), (70, 50), channels=channels, bits=bits)))


@pytest.mark.parametrize(("num_masked", "num_local"), [(0, 2), (3, 0), (0, 0)])
def test_groups_of_views_can_be_left_out(num_masked: int, num_local: int) -> None:
    views = replace(VIEWS, num_masked=num_masked, num_local=num_local)
    assert_alike(*both(Pictures((60, 80), (70, 50)), views))


def test_an_image_has_the_same_views_in_any_batch() -> None:
    data = MultiView(Pictures((60, 80), (80, 60), (300, 50)), 48, 6, VIEWS, 0, uncut=True)
    together = data.__getitems__([(0, 0), (0, 1), (0, 2)]).to("cpu")
    for index in range(3):
        alone = data[0, index].to("cpu")
        for name in ("full", "masked", "local", "crops", "keep"):
            assert torch.equal(getattr(alone, name)[0], getattr(together, name)[index])


def test_of_a_long_picture_only_what_is_shown_is_handed_over() -> None:
    """No crop of an allowed ratio covers enough of it, so all of them lie in its middle."""
    cut, uncut = both(Pictures((50, 5000)))
    assert_alike(cut, uncut)
    assert uncut.pixels.numel() < 3 * 50 * 100
    crops = cut.crops[0].tolist()
    assert uncut.parts[0].tolist() == list(around(crops))


def test_large_pictures_are_made_smaller_but_no_crop_is_magnified() -> None:
    side = shortest_side(48, VIEWS)
    cut, uncut = both(Pictures((6 * side, 8 * side)))
    assert uncut.pixels.numel() <= 3 * side * (side * 4 / 3 + 1)
    small = uncut.to("cpu")
    for before, after in zip(cut.crops[0], small.crops[0], strict=True):
        assert (before[:4] / 6 - after[:4]).abs().max() <= 1
        assert before[4] == after[4]
    assert (small.full.int() - cut.full.int()).abs().float().mean() < 2
    for size, scale in ((48, VIEWS.global_scale), (24, VIEWS.local_scale)):
        assert (scale[0] * RATIO[0]) ** 0.5 * side >= size
    image = torch.zeros(3, side, side + 9, dtype=torch.uint8)
    assert shrunk(image, side) is image


def test_the_device_cuts_where_it_is_a_gpu_or_asked_for() -> None:
    cpu, gpu = torch.device("cpu"), torch.device("cuda")
    assert [cut_on(device, VIEWS) for device in (cpu, gpu)] == [False, True]
    for crops, cuts in (("workers", False), ("device", True)):
        views = replace(VIEWS, crops=crops)
        assert [cut_on(device, views) for device in (cpu, gpu)] == [cuts, cuts]
    with pytest.raises(ConfigError, match="auto, workers, device"):
        ViewConfig(crops="gpu")  # pyright: ignore[reportArgumentType]


def test_whole_pictures_can_be_pinned_and_moved() -> None:
    _, uncut = both(Pictures((60, 80)))
    if torch.cuda.is_available():
        pinned = uncut.pin_memory()
        assert pinned.pixels.is_pinned()
        views, on_cpu = pinned.to("cuda"), uncut.to("cpu")
        assert views.full.is_cuda
        assert (views.masked.cpu().int() - on_cpu.masked.int()).abs().max() <= 1
    views = uncut.to("cpu").to("meta")
    assert views.masked.device.type == "meta"
