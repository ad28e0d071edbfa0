"""The Inception-v3 of the FID (Szegedy et al. 2015; Heusel et al. 2017): pictures to the 2,048
features of its last pooling.

Parameters are named as in the file that torch-fidelity and pytorch-fid use (the 2015 weights of
TensorFlow's graph). The numbers follow that graph: average pools do not count their padding, the
last block pools by the maximum, and pictures are enlarged as TensorFlow 1 did, from corner to
corner of the grid without half a pixel's shift.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from stellar.evaluation.metrics.weight_files import find_metric_file
from stellar.model.files.strict_loading import load_weights
from stellar.model.files.tensors import read_state

FILES = ("weights-inception-2015-12-05-6726825d.pth", "pt_inception-2015-12-05-6726825d.pth")
ADDRESS = f"https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/{FILES[0]}"
SIDE = 299

Kernel = tuple[int, int]
Conv = tuple[str, int, Kernel]
"""Name, number of filters, height and width of the kernel."""
Branch = tuple[Sequence[Conv], Sequence[Conv]]
"""Convolutions one after the other, then those that all read the last one's result."""


class ConvNorm(nn.Module):
    """Convolution, batch normalisation, ReLU."""

    def __init__(
        self, channels: int, width: int, kernel: Kernel, stride: int = 1, padding: Kernel = (0, 0)
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, width, kernel, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(width, eps=0.001)
        self.bn.num_batches_tracked = None

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d H W"]:
        return self.bn(self.conv(x)).relu()


class Mixed(nn.Module):
    """Branches side by side; a last one reads the pooled input, or is it where it has no
    convolution. With stride 2, the last convolutions and the pool halve the grid.
    """

    def __init__(
        self, channels: int, branches: Sequence[Branch], pool_width: int, pool: str, stride: int = 1
    ) -> None:
        super().__init__()
        self.branches = [([n for n, *_ in row], [n for n, *_ in ends]) for row, ends in branches]
        self.pool, self.stride = pool, stride
        self.width = pool_width or channels
        for row, ends in branches:
            before = channels
            for name, width, kernel in row:
                self.add_module(name, _same(before, width, kernel))
                before = width
            for name, width, kernel in ends:
                last = _same(before, width, kernel) if stride == 1 else None
                self.add_module(name, last or ConvNorm(before, width, kernel, stride))
                self.width += width
        if pool_width:
            self.branch_pool = _same(channels, pool_width, (1, 1))

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d H W"]:
        parts = []
        for row, ends in self.branches:
            y = x
            for name in row:
                y = self.get_submodule(name)(y)
            parts += [self.get_submodule(name)(y) for name in ends]
        pooled = self._pooled(x)
        parts.append(self.branch_pool(pooled) if hasattr(self, "branch_pool") else pooled)
        return torch.cat(parts, dim=1)

    def _pooled(self, x: Tensor) -> Tensor:
        if self.pool == "average":
            return F.avg_pool2d(x, 3, 1, padding=1, count_include_pad=False)
        return F.max_pool2d(x, 3, self.stride, padding=1 if self.stride == 1 else 0)


def _same(channels: int, width: int, kernel: Kernel) -> ConvNorm:
    """A convolution that keeps the grid."""
    return ConvNorm(channels, width, kernel, padding=(kernel[0] // 2, kernel[1] // 2))


def _square(channels: int, pool_width: int) -> Mixed:
    """The blocks at 35 x 35."""
    return Mixed(
        channels,
        [
            ([], [("branch1x1", 64, (1, 1))]),
            ([("branch5x5_1", 48, (1, 1))], [("branch5x5_2", 64, (5, 5))]),
            (
                [("branch3x3dbl_1", 64, (1, 1)), ("branch3x3dbl_2", 96, (3, 3))],
                [("branch3x3dbl_3", 96, (3, 3))],
            ),
        ],
        pool_width,
        "average",
    )


def _striped(width: int) -> Mixed:
    """The blocks at 17 x 17, of long and thin kernels."""
    row, column = (1, 7), (7, 1)
    return Mixed(
        768,
        [
            ([], [("branch1x1", 192, (1, 1))]),
            (
                [("branch7x7_1", width, (1, 1)), ("branch7x7_2", width, row)],
                [("branch7x7_3", 192, column)],
            ),
            (
                [
                    ("branch7x7dbl_1", width, (1, 1)),
                    ("branch7x7dbl_2", width, column),
                    ("branch7x7dbl_3", width, row),
                    ("branch7x7dbl_4", width, column),
                ],
                [("branch7x7dbl_5", 192, row)],
            ),
        ],
        192,
        "average",
    )


def _forked(channels: int, pool: str) -> Mixed:
    """The blocks at 8 x 8, whose branches end in two kernels."""
    return Mixed(
        channels,
        [
            ([], [("branch1x1", 320, (1, 1))]),
            (
                [("branch3x3_1", 384, (1, 1))],
                [("branch3x3_2a", 384, (1, 3)), ("branch3x3_2b", 384, (3, 1))],
            ),
            (
                [("branch3x3dbl_1", 448, (1, 1)), ("branch3x3dbl_2", 384, (3, 3))],
                [("branch3x3dbl_3a", 384, (1, 3)), ("branch3x3dbl_3b", 384, (3, 1))],
            ),
        ],
        192,
        pool,
    )


def _halving(channels: int, branches: Sequence[Branch]) -> Mixed:
    return Mixed(channels, branches, 0, "maximum", stride=2)


class Inception(nn.Module):
    """Pictures in [0, 1] to features; they are rounded to 8 bits first, as a file holds them."""

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = ConvNorm(3, 32, (3, 3), stride=2)
        self.Conv2d_2a_3x3 = ConvNorm(32, 32, (3, 3))
        self.Conv2d_2b_3x3 = _same(32, 64, (3, 3))
        self.Conv2d_3b_1x1 = ConvNorm(64, 80, (1, 1))
        self.Conv2d_4a_3x3 = ConvNorm(80, 192, (3, 3))
        self.Mixed_5b, self.Mixed_5c = _square(192, 32), _square(256, 64)
        self.Mixed_5d = _square(288, 64)
        double = [("branch3x3dbl_1", 64, (1, 1)), ("branch3x3dbl_2", 96, (3, 3))]
        self.Mixed_6a = _halving(
            288, [([], [("branch3x3", 384, (3, 3))]), (double, [("branch3x3dbl_3", 96, (3, 3))])]
        )
        self.Mixed_6b, self.Mixed_6c = _striped(128), _striped(160)
        self.Mixed_6d, self.Mixed_6e = _striped(160), _striped(192)
        stripes = [(f"branch7x7x3_{n}", 192, k) for n, k in ((1, (1, 1)), (2, (1, 7)), (3, (7, 1)))]
        self.Mixed_7a = _halving(
            768,
            [
                ([("branch3x3_1", 192, (1, 1))], [("branch3x3_2", 320, (3, 3))]),
                (stripes, [("branch7x7x3_4", 192, (3, 3))]),
            ],
        )
        self.Mixed_7b, self.Mixed_7c = _forked(1280, "average"), _forked(2048, "maximum")

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 2048"]:
        x = enlarged((images.float() * 255).round().clamp(0, 255), SIDE)
        x = (x - 128) / 128
        for name, block in self.named_children():
            if name in ("Conv2d_3b_1x1", "Mixed_5b"):
                x = F.max_pool2d(x, 3, 2)
            x = block(x)
        return x.mean(dim=(2, 3))


def enlarged(images: Float[Tensor, "b c h w"], side: int) -> Float[Tensor, "b c {side} {side}"]:
    """Bilinear as in TensorFlow 1: pixel i of the result is at i h / side of the image."""
    rows, columns = (_interpolation(length, side).to(images) for length in images.shape[2:])
    return rows @ images @ columns.T


def _interpolation(length: int, side: int) -> Float[Tensor, "{side} {length}"]:
    place = torch.arange(side) * (length / side)
    low = place.long().clamp(max=length - 1)
    high = (low + 1).clamp(max=length - 1)
    share = (place - low)[:, None]
    return (1 - share) * F.one_hot(low, length) + share * F.one_hot(high, length)


def find_weights(folder: Path | None = None) -> tuple[Path]:
    """The file of the FID's weights, out of a folder or torch's cache of downloads. Raises
    WeightsError with a sentence.
    """
    return (find_metric_file("rFID", FILES, ADDRESS, folder),)


def load_inception(folder: Path | None = None) -> Inception:
    """With the weights that `find_weights` finds, and its errors."""
    (file,) = find_weights(folder)
    state = read_state(file)
    with torch.device("meta"):
        inception = Inception()
    counters = tuple(name for name in state if name.endswith("num_batches_tracked"))
    load_weights(inception, state, ("fc.", "AuxLogits.", *counters))
    return inception.eval().requires_grad_(False)
