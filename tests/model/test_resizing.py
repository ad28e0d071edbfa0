"""Weights for larger or smaller patches say of pictures what the old ones say of them resized."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from stellar.config import ModelConfig
from stellar.model import Stellar
from stellar.model.files.strict_loading import WeightsError, load_weights
from stellar.model.positions import resize_positions
from stellar.model.resizing import resize_weights


def resized(model: Stellar, **sizes: int) -> Stellar:
    """The model for pictures or patches of these sizes."""
    new = Stellar(replace(model.config, **sizes))
    new.load_state_dict(dict(resize_weights(model.state_dict(), model.config, new.config)))
    return new.eval()


def test_a_patch_is_seen_as_its_average_and_drawn_larger(small: ModelConfig) -> None:
    """On as many patches, three times as large."""
    old = Stellar(small).eval()
    new = resized(old, image_size=48, patch_size=12)
    images = torch.rand(2, 3, 48, 48)
    with torch.inference_mode():
        before, after = old.encode(F.avg_pool2d(images, 3)), new.encode(images)
        drawn, larger = old.reconstruct(before), new.reconstruct(after)
    for name in ("cls", "sparse", "spatial", "dense"):
        torch.testing.assert_close(getattr(after, name), getattr(before, name))
    torch.testing.assert_close(larger, drawn.repeat_interleave(3, 2).repeat_interleave(3, 3))


def test_smaller_patches_draw_the_averages(small: ModelConfig) -> None:
    old = Stellar(small).eval()
    new = resized(old, image_size=8, patch_size=2)
    images = torch.rand(2, 3, 8, 8)
    enlarged = images.repeat_interleave(2, 2).repeat_interleave(2, 3)
    with torch.inference_mode():
        before, after = old.encode(enlarged), new.encode(images)
        torch.testing.assert_close(after.dense, before.dense)
        # Before pixels are cut off at 0 and 1.
        drawn, smaller = (m.decoder(f.lowrank, (4, 4)) for m, f in ((old, before), (new, after)))
    torch.testing.assert_close(smaller, F.avg_pool2d(drawn, 2))


def test_more_patches_take_the_resized_positions(small: ModelConfig) -> None:
    old = Stellar(small)
    state = old.state_dict()
    found = resize_weights(state, small, replace(small, image_size=24))
    table = found["encoder.pos_embed"]
    assert torch.equal(table[:, 0], state["encoder.pos_embed"][:, 0])
    expected = resize_positions(state["encoder.pos_embed"][:, 1:], (6, 6), antialias=False)
    assert torch.equal(table[:, 1:], expected)
    assert all(found[name] is state[name] for name in state if name != "encoder.pos_embed")
    assert resize_weights(state, small, small) is state


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_sizes_that_do_not_divide_and_half_precision(
    small: ModelConfig, dtype: torch.dtype
) -> None:
    """A patch of one colour is one at any size, seen or drawn; weights keep their precision."""
    embedding, pixels = "encoder.patch_embed.proj.weight", "decoder.head.weight"
    old = Stellar(small).to(dtype).state_dict()
    old[pixels] = old[pixels].mean((2, 3), keepdim=True).expand_as(old[pixels])
    new = resize_weights(old, small, replace(small, image_size=28, patch_size=7))
    assert {new[name].dtype for name in (embedding, pixels)} == {dtype}
    white = [state[embedding].float().sum((2, 3)) for state in (old, new)]
    torch.testing.assert_close(*white, rtol=0.05, atol=0.01)
    assert torch.equal(new[pixels], old[pixels][:, :, :1, :1].expand(-1, -1, 7, 7))


def test_what_the_file_lacks_or_has_wrong_is_left_to_who_loads_it(small: ModelConfig) -> None:
    state, larger = Stellar(small, draws=False).state_dict(), replace(small, image_size=32)
    for new in (larger, replace(larger, patch_size=8)):
        assert dict(resize_weights(state, small, new)).keys() == state.keys()
    for wrong in (torch.zeros(7), torch.zeros(1, 12, 32)):
        found = resize_weights({**state, "encoder.pos_embed": wrong}, small, larger)
        with pytest.raises(WeightsError, match=r"of another shape: encoder.pos_embed \("):
            load_weights(Stellar(larger, draws=False), found)
