"""Arrays and tensors: one rule for values, one for channels, and a sentence for everything else."""

import numpy as np
import pytest
import torch

from stellar.images import InputError, from_array, from_tensor

RAMP = np.linspace(0, 65535, 6 * 8).reshape(6, 8).astype(np.uint16)


def test_bytes_stay_bytes() -> None:
    array = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    picture = from_array(array, channels=3)
    assert torch.equal(picture.pixels, torch.from_numpy(array).permute(2, 0, 1))
    assert picture.changes == ()


def test_sixteen_bits_keep_their_precision_whatever_holds_them() -> None:
    expected = torch.from_numpy(RAMP.astype(np.float32) / 65535)[None]
    for array in (RAMP, RAMP.astype(">u2"), RAMP.astype(np.int32)):
        picture = from_array(array, channels=1)
        assert torch.equal(picture.pixels, expected)
        assert picture.changes == ("16 bits scaled to [0, 1]",)
    for tensor in (torch.from_numpy(RAMP), torch.from_numpy(RAMP.astype(np.int32))):
        assert torch.equal(from_tensor(tensor[None], channels=1).pixels, expected)
    assert len(expected.unique()) == RAMP.size


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_floats_are_taken_as_they_are(dtype: type) -> None:
    array = np.random.default_rng(0).random((6, 8, 3)).astype(dtype)
    pixels = from_array(array, channels=3).pixels
    assert pixels.dtype == torch.float32
    assert np.array_equal(pixels.permute(1, 2, 0).numpy(), array.astype(np.float32))


def test_memory_does_not_matter_and_nothing_is_edited() -> None:
    array = np.random.default_rng(0).random((6, 8, 3)).astype(np.float32)
    array.flags.writeable = False
    turned = from_array(array[::-1, ::-1], channels=3).pixels
    assert torch.equal(turned, from_array(array, channels=3).pixels.flip(1, 2))


def test_grey_is_repeated_for_rgb_and_nothing_else_changes_its_channels() -> None:
    grey = from_array(RAMP, channels=3)
    assert grey.pixels.shape == (3, 6, 8)
    assert (grey.pixels == grey.pixels[:1]).all()
    assert "grey repeated in 3 channels" in grey.changes
    assert from_array(np.zeros((6, 8, 7), np.uint8), channels=7).pixels.shape == (7, 6, 8)
    for have, want in ((3, 1), (4, 3), (2, 3), (1, 4), (3, 5)):
        with pytest.raises(InputError, match=rf"takes {want} channel.*has {have} .*6 x 8"):
            from_array(np.zeros((6, 8, have), np.uint8), channels=want)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.float32(np.nan), "got nan to nan"),
        (np.float32(np.inf), r"must lie in \[0, 1\] .* got 0 to inf"),
        (np.float32(1.5), r"got 0 to 1.5; scale or clamp them, and do not normalise"),
        (np.float64(-2.1), r"got -2.1 to 0"),
        (np.int32(70000), r"must lie in \[0, 65535\] for 16 bits, got 0 to 70000"),
        (np.int32(-1), "got -1 to 0"),
        (np.int64(3), "expected uint8, uint16 .* got int64"),
        (np.bool_(True), "got bool"),
        (np.complex64(1), "got complex64"),
        (np.str_("a"), "expected uint8, .* got <U1"),
    ],
)
def test_wrong_values_get_a_sentence(value: np.generic, message: str) -> None:
    array = np.zeros((6, 8, 3), value.dtype)
    array[2, 3, 1] = value
    with pytest.raises(InputError, match=message) as caught:
        from_array(array, channels=3)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("shape", [(8,), (1, 2, 6, 8), (0, 8), (6, 0, 3), ()])
def test_wrong_shapes_get_a_sentence(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match=r"expected .*height x width.* got \("):
        from_array(np.zeros(shape, np.uint8), channels=3)
    with pytest.raises(InputError, match=r"expected .*height x width.* got \("):
        from_tensor(torch.zeros(shape, dtype=torch.uint8), channels=3)
