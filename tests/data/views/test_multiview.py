"""Samples of views: what is in them, and that they are a function of (seed, epoch, index)."""

import weakref
from dataclasses import fields, replace

import pytest
import torch

from stellar.config import ViewConfig
from stellar.data.folder import DataError
from stellar.data.scenes import Scenes
from stellar.data.views import photometric
from stellar.data.views.batches import Batch, ViewBatch
from stellar.data.views.masking import num_kept
from stellar.data.views.multiview import MultiView
from stellar.images import UnreadableImage

VIEWS = ViewConfig(num_masked=3, num_local=2, local_size=24, masking_ratio=0.6)


class Damaged:
    """Twelve plain pictures, some of which cannot be read."""

    channels = 3

    def __init__(self, unreadable: set[int]) -> None:
        self.unreadable = unreadable

    def __len__(self) -> int:
        return 12

    def name(self, index: int) -> str:
        return f"{index}.png"

    def read(self, index: int) -> torch.Tensor:
        if index in self.unreadable:
            raise UnreadableImage(self.name(index), "it is broken")
        return torch.full((3, 20, 30), index, dtype=torch.uint8)


@pytest.fixture(scope="module")
def source() -> Scenes:
    return Scenes("train")


class Cut(MultiView):
    """Batches that the workers cut."""

    def __getitem__(self, key: tuple[int, int]) -> ViewBatch:
        return super().__getitem__(key).to("cpu")

    def __getitems__(self, keys: list[tuple[int, int]]) -> ViewBatch:
        return super().__getitems__(keys).to("cpu")


def dataset(source: Scenes | Damaged, views: ViewConfig = VIEWS, seed: int = 0) -> Cut:
    return Cut(source, 48, 6, views, seed)


def equal(first: Batch, second: Batch) -> bool:
    names = [field.name for field in fields(ViewBatch) if field.name != "skipped"]
    same = (torch.equal(getattr(first, name), getattr(second, name)) for name in names)
    return all(same) and first.skipped == second.skipped


@pytest.mark.parametrize("channels", [1, 5])
def test_views_have_the_channels_of_the_source_and_eight_bits(channels: int) -> None:
    class Precise(Damaged):
        def read(self, index: int) -> torch.Tensor:
            return torch.full((channels, 20, 30), index / 12)

    source = Precise(unreadable=set())
    source.channels = channels
    batch = dataset(source).__getitems__([(0, 6)])
    assert batch.full.shape == (1, channels, 48, 48)
    assert batch.local.shape == (1, 2, channels, 24, 24)
    for views in (batch.full, batch.masked, batch.local):
        assert (views == 128).all()


def test_a_batch_has_every_view(source: Scenes) -> None:
    batch = dataset(source).__getitems__([(0, 5), (1, 3)])
    assert batch.full.shape == (2, 3, 48, 48)
    assert batch.masked.shape == (2, 3, 3, 48, 48)
    assert batch.local.shape == (2, 2, 3, 24, 24)
    assert batch.keep.shape == (2, 3, num_kept(64, 0.6))
    assert batch.masked_colour.shape == (2, 3, photometric.NUM_PARAMS)
    assert batch.local_colour.shape == (2, 2, photometric.NUM_PARAMS)
    assert batch.index.tolist() == [5, 3]
    assert batch.skipped == ()


def test_an_image_has_the_same_views_in_any_batch(source: Scenes) -> None:
    data = dataset(source)
    keys = [(0, 5), (1, 3), (0, 7), (0, 5)]
    batch = data.__getitems__(keys)
    for row, key in enumerate(keys):
        alone = data[key]
        for field in fields(ViewBatch):
            if field.name != "skipped":
                rows, single = getattr(batch, field.name), getattr(alone, field.name)
                assert torch.equal(rows[row : row + 1], single)


def test_views_are_a_function_of_seed_epoch_and_index(source: Scenes) -> None:
    sample = dataset(source)[2, 5]
    assert equal(sample, dataset(Scenes("train"))[2, 5])
    for other in (dataset(source)[3, 5], dataset(source)[2, 6], dataset(source, seed=1)[2, 5]):
        assert not torch.equal(sample.full, other.full)
        assert not torch.equal(sample.masked_colour, other.masked_colour)


def test_views_of_an_image_are_different_crops(source: Scenes) -> None:
    sample = dataset(source)[0, 0]
    crops = [sample.full[0], *sample.masked[0]]
    assert all(not torch.equal(a, b) for i, a in enumerate(crops) for b in crops[:i])
    assert not torch.equal(sample.keep[0, 0], sample.keep[0, 1])


def test_one_masked_view_may_be_cut_as_the_full_view_is(source: Scenes) -> None:
    """And nothing else changes."""
    plain = dataset(source)[1, 4]
    shared = dataset(source, replace(VIEWS, share_crop=True))[1, 4]
    assert torch.equal(shared.full, plain.full)
    assert torch.equal(shared.masked[0, 0], plain.full[0])
    assert not torch.equal(plain.masked[0, 0], plain.full[0])
    assert torch.equal(shared.masked[0, 1:], plain.masked[0, 1:])
    for name in ("keep", "masked_colour", "local", "local_colour"):
        assert torch.equal(getattr(shared, name), getattr(plain, name))


def test_views_of_pictures_without_a_top_lie_in_any_way(source: Scenes) -> None:
    """The same crops as upright ones, where each chance is 0 or 1."""
    upright = replace(VIEWS, flip_probability=0.0)
    plain = dataset(source, upright)[1, 4]
    upended = dataset(source, replace(upright, vertical_flip_probability=1.0))[1, 4]
    assert torch.equal(upended.full, plain.full.flip(2))
    turned = dataset(source, replace(upright, turn_probability=1.0))
    samples = [turned[0, index] for index in range(30)]
    same = [dataset(source, upright)[0, index].full for index in range(30)]
    ways = {
        turns
        for sample, full in zip(samples, same, strict=True)
        for turns in (1, 2, 3)
        if torch.equal(sample.full, full.rot90(turns, (2, 3)))
    }
    assert ways == {1, 2, 3}


def test_random_numbers_do_not_touch_the_global_state(source: Scenes) -> None:
    before = torch.get_rng_state()
    first = dataset(source)[0, 0]
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(99)
    assert equal(first, dataset(source)[0, 0])


@pytest.mark.parametrize(("num_masked", "num_local"), [(0, 2), (3, 0), (0, 0)])
def test_groups_of_views_can_be_left_out(source: Scenes, num_masked: int, num_local: int) -> None:
    views = replace(VIEWS, num_masked=num_masked, num_local=num_local)
    data = dataset(source, views)
    batch = data.__getitems__([(0, index) for index in range(4)])
    assert batch.full.shape == (4, 3, 48, 48)
    assert batch.masked.shape == (4, num_masked, 3, 48, 48)
    assert batch.keep.shape == (4, num_masked, num_kept(64, 0.6))
    assert batch.local.shape == (4, num_local, 3, 24, 24)
    assert batch.masked_colour.shape == (4, num_masked, photometric.NUM_PARAMS)
    assert batch.local_colour.shape == (4, num_local, photometric.NUM_PARAMS)


def test_crops_have_the_scale_that_is_asked_for() -> None:
    """On a ramp, the range of values in a crop tells how much of the image it covers."""

    class Ramp(Damaged):
        def read(self, index: int) -> torch.Tensor:
            return super().read(index).new_tensor(range(200)).repeat(3, 200, 1)

    views = replace(VIEWS, global_scale=(0.81, 1.0), local_scale=(0.04, 0.09))
    data = dataset(Ramp(set()), views)
    for index in range(12):
        sample = data[0, index]
        widths = [int(crop.max()) - int(crop.min()) for crop in (sample.full, *sample.masked[0])]
        assert min(widths) > 0.9 * 200 * (3 / 4) ** 0.5 - 8
        widths = [int(crop.max()) - int(crop.min()) for crop in sample.local[0]]
        assert 0.2 * 200 * (3 / 4) ** 0.5 - 8 < min(widths) <= max(widths) < 0.3 * 200 * 1.16 + 8


def test_unreadable_images_are_replaced_by_the_next_and_named() -> None:
    data = dataset(Damaged({3, 4, 11}))
    sample = data[0, 3]
    assert (sample.full == 5).all()
    assert sample.index.tolist() == [5]
    assert sample.skipped == (("3.png", "it is broken"), ("4.png", "it is broken"))
    assert data[0, 11].index.tolist() == [0]
    batch = data.__getitems__([(0, 3), (0, 4), (0, 5), (0, 11)])
    assert batch.index.tolist() == [5, 5, 5, 0]
    assert [name for name, _ in batch.skipped] == ["3.png", "4.png", "11.png"]


def test_nothing_readable_ends_the_run_with_a_sentence() -> None:
    with pytest.raises(DataError, match=r"none of 12 images .* from 3\.png \(it is broken\)"):
        dataset(Damaged(set(range(12))))[0, 3]


def test_whole_pictures_are_not_all_in_memory_where_workers_cut() -> None:
    class Watched(Damaged):
        alive = most_alive = 0

        def gone(self) -> None:
            self.alive -= 1

        def read(self, index: int) -> torch.Tensor:
            picture = super().read(index)
            weakref.finalize(picture, self.gone)
            self.alive += 1
            self.most_alive = max(self.alive, self.most_alive)
            return picture

    source = Watched(set())
    batch = dataset(source).__getitems__([(0, index) for index in range(12)])
    assert batch.full[:, 0, 0, 0].tolist() == list(range(12))
    assert source.most_alive <= 2
    assert source.alive == 0


def test_batches_move_whole(source: Scenes) -> None:
    batch = dataset(source).__getitems__([(0, 0), (0, 1)])
    moved = batch.to("meta")
    for field in fields(ViewBatch):
        if field.name != "skipped":
            before, after = getattr(batch, field.name), getattr(moved, field.name)
            assert after.device.type == "meta"
            assert (after.shape, after.dtype) == (before.shape, before.dtype)
    assert moved.skipped == batch.skipped
