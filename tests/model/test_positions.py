"""Rotary positions are rotations, by angles that grow with the place."""

import math

import pytest
import torch

from stellar.model.positions import rotary_angles, turn

CPU = torch.device("cpu")


def turns(angles: torch.Tensor) -> torch.Tensor:
    return torch.stack([angles.cos(), angles.sin()])


def test_angles_of_each_patch_by_hand() -> None:
    """Rows before columns; the nearest centre to an edge is half a patch away from it."""
    angles = rotary_angles((2, 3), 8, 100.0, CPU)
    assert angles.shape == (6, 8)
    for patch, (y, x) in enumerate((y, x) for y in (-0.5, 0.5) for x in (-2 / 3, 0, 2 / 3)):
        by_hand = [2 * math.pi * place / period for place in (y, x) for period in (1, 10)]
        torch.testing.assert_close(angles[patch], torch.tensor(2 * by_hand))


def test_turning_is_multiplication_of_complex_numbers() -> None:
    angles, x = rotary_angles((3, 4), 16, 50.0, CPU), torch.randn(2, 12, 5, 16)
    pairs = torch.complex(x[..., :8], x[..., 8:])
    expected = pairs * torch.polar(torch.ones(12, 1, 8), angles[:, None, :8])
    found = turn(x, turns(angles.expand(2, -1, -1)))
    torch.testing.assert_close(found, torch.cat([expected.real, expected.imag], dim=-1))
    torch.testing.assert_close(found.norm(dim=-1), x.norm(dim=-1))


def test_scores_depend_on_how_far_patches_are_apart() -> None:
    angles = rotary_angles((5, 5), 8, 100.0, CPU)
    q, k = torch.randn(2, 8).unbind()
    rows = [turn(x.expand(25, 1, 8), turns(angles)).squeeze(1) for x in (q, k)]
    scores = (rows[0] @ rows[1].T).unflatten(0, (5, 5)).unflatten(2, (5, 5))
    torch.testing.assert_close(scores[0, 0, 1, 3], scores[3, 1, 4, 4])
    torch.testing.assert_close(scores[2, 3, 0, 0], scores[4, 4, 2, 1])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_tokens_without_a_place_stay_as_they_are(dtype: torch.dtype) -> None:
    x = torch.randn(1, 4, 2, 8).to(dtype)
    assert torch.equal(turn(x, turns(torch.zeros(1, 4, 8))), x)
    assert turn(x, turns(torch.ones(1, 4, 8))).dtype == dtype
