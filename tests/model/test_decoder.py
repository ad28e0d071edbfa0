"""The decoder and its fixed Fourier position."""

import math

import torch

from stellar.config import ModelConfig
from stellar.model.decoder import Decoder, fourier_position


def test_position_of_one_patch_by_hand() -> None:
    """The lower right patch of a 2 x 4 grid has its centre at x = 7/8, y = 3/4."""
    matrix = torch.tensor([[0.5, -1.0], [2.0, 0.25]])
    position = fourier_position(matrix, (2, 4))[7]
    x, y = 2 * 7 / 8 - 1, 2 * 3 / 4 - 1
    angles = [2 * math.pi * (x * 0.5 + y * 2.0), 2 * math.pi * (x * -1.0 + y * 0.25)]
    expected = [f(a) for a in angles for f in (math.sin, math.cos)]
    torch.testing.assert_close(position, torch.tensor(expected))


def test_positions_differ_between_patches() -> None:
    position = fourier_position(torch.randn(2, 8), (5, 7))
    distances = torch.cdist(position, position)
    distances.fill_diagonal_(1)
    assert position.shape == (35, 16)
    assert distances.min() > 0.01


def test_a_patch_is_drawn_where_it_is(small: ModelConfig) -> None:
    """With the blocks out of the way, a patch of Z changes its own pixels only."""
    decoder = Decoder(small)
    decoder.blocks = torch.nn.ModuleList()
    lowrank = torch.randn(1, 8, 24)
    before = decoder(lowrank, (2, 4))
    lowrank[0, 6] += 1
    changed = (decoder(lowrank, (2, 4)) - before).abs().sum(dim=(0, 1)) > 1e-6
    assert before.shape == (1, 3, 8, 16)
    assert changed[4:8, 8:12].all()
    assert changed.sum() == 16


def test_the_position_matrix_is_saved_but_not_trained(small: ModelConfig) -> None:
    decoder = Decoder(small)
    assert "gaussian" in decoder.state_dict()
    assert "gaussian" not in dict(decoder.named_parameters())


def test_norms_learn_in_fp32_under_autocast(small: ModelConfig) -> None:
    """Over many rows: in bf16, sums of their gradients would be off by a third."""
    decoder, lowrank = Decoder(small), torch.randn(300, 16, small.embed_dim)
    weights = torch.rand(small.patch_size, small.patch_size).repeat(4, 4)
    found = []
    for low in (False, True):
        decoder.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=low):
            drawn = decoder(lowrank, (4, 4))
        (drawn.float() * weights).sum().backward()
        found.append({name: p.grad for name, p in decoder.named_parameters() if "norm" in name})
    exact, near = found
    assert len(exact) == 6
    for name, gradient in exact.items():
        assert gradient is not None
        assert 0 < (near[name] - gradient).norm() <= 0.1 * gradient.norm(), name
