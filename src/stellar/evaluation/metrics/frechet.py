"""How far two sets of pictures are apart as a whole: the Frechet distance between the Gaussians
that have the mean m and covariance C of their features,

    |m1 - m2|^2 + tr C1 + tr C2 - 2 tr (C1 C2)^(1/2)

(Dowson and Landau, 1982). On Inception's features it is the FID (Heusel et al. 2017); here is also
an extractor that needs no weights from anywhere.
"""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Float64
from torch import Tensor, nn


@dataclass(frozen=True)
class Moments:
    """Mean and covariance of rows that came in parts, in double precision; memory does not grow
    with their number.
    """

    count: int
    mean: Float64[Tensor, " d"]
    scatter: Float64[Tensor, "d d"]
    """Sum over the rows x of (x - mean)(x - mean)^T."""

    @classmethod
    def of(cls, rows: Float[Tensor, "n d"]) -> "Moments":
        rows = rows.double().cpu()
        mean = rows.mean(dim=0)
        return cls(len(rows), mean, (rows - mean).T @ (rows - mean))

    def __add__(self, other: "Moments") -> "Moments":
        """Of the rows of both (Chan et al. 1979)."""
        count = self.count + other.count
        step = other.mean - self.mean
        apart = torch.outer(step, step) * (self.count * other.count / count)
        mean = self.mean + step * (other.count / count)
        return Moments(count, mean, self.scatter + other.scatter + apart)

    @property
    def covariance(self) -> Float64[Tensor, "d d"]:
        """Unbiased; zero for a single row."""
        return self.scatter / max(1, self.count - 1)


def frechet_distance(a: Moments, b: Moments) -> float:
    """The squared distance, 0 for equal moments; covariances may be singular.

    With C1 = A A^T and C2 = B B^T, tr (C1 C2)^(1/2) is the sum of the singular values of A^T B.
    """
    common = torch.linalg.svdvals(_factor(a.covariance).T @ _factor(b.covariance)).sum()
    spread = a.covariance.trace() + b.covariance.trace() - 2 * common
    return ((a.mean - b.mean).square().sum() + spread).clamp_min(0).item()


def _factor(covariance: Float64[Tensor, "d d"]) -> Float64[Tensor, "d rank"]:
    """A with A A^T = C, without the directions whose eigenvalue is what rounding leaves of zero:
    its root would be 1e8 times as large.
    """
    values, vectors = torch.linalg.eigh(covariance)
    kept = values > values[-1] * len(values) * torch.finfo(values.dtype).eps
    return vectors[:, kept] * values[kept].sqrt()


class RandomConvolutions(nn.Module):
    """Three fixed layers of random 3 x 3 filters, stride 2, ReLU; the means over the picture of
    every layer's channels are its 224 features.

    It sees colours, edges and textures, in no order of importance and without any notion of what
    is shown: a distance to compare drawings of the same pictures with, offline and by anyone. It
    is no FID, and its numbers compare with no other extractor's. The filters are those of numpy's
    MT19937 with seed 0, whose stream never changes.
    """

    WIDTHS = (32, 64, 128)

    def __init__(self, channels: int = 3) -> None:
        super().__init__()
        stream = np.random.RandomState(0)
        for number, width in enumerate(self.WIDTHS):
            filters = stream.standard_normal((width, channels, 3, 3)) * (2 / (9 * channels)) ** 0.5
            self.register_buffer(f"filters{number}", torch.from_numpy(filters).float())
            channels = width

    def forward(self, images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b 224"]:
        """Features of images in [0, 1] of any size."""
        x, means = 4 * images.float() - 2, []
        for filters in self.buffers():
            x = F.conv2d(x, filters, stride=2, padding=1).relu()
            means.append(x.mean(dim=(2, 3)))
        return torch.cat(means, dim=1)
