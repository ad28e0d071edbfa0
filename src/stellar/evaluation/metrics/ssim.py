"""Structural similarity, of windows x and y that a Gaussian weighs (11 pixels, sigma 1.5):

    SSIM = (2 mx my + c1) (2 cov + c2) / ((mx^2 + my^2 + c1) (vx + vy + c2)),
    c1 = 0.01^2, c2 = 0.03^2, for pixels in [0, 1]

(Wang et al. 2004), averaged over all windows that lie in the picture, and over its channels.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

WINDOW = 11
"""Pixels; pictures must have as many on each side."""
SIGMA = 1.5
C1, C2 = 0.01**2, 0.03**2


def ssim(
    images: Float[Tensor, "b c h w"], reconstructions: Float[Tensor, "b c h w"]
) -> Float[Tensor, " b"]:
    """SSIM of each image, in [-1, 1], computed in double precision. Raises ValueError for images
    that are smaller than the window.
    """
    if min(images.shape[2:]) < WINDOW:
        height, width = images.shape[2:]
        raise ValueError(
            f"SSIM needs at least {WINDOW} pixels a side, got {height} x {width}; "
            "there is no window in a smaller image"
        )
    x, y = images.double(), reconstructions.double()
    mean_x, mean_y = _weighted_mean(x), _weighted_mean(y)
    variance_x = _weighted_mean(x * x) - mean_x**2
    variance_y = _weighted_mean(y * y) - mean_y**2
    covariance = _weighted_mean(x * y) - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + C1) / (mean_x**2 + mean_y**2 + C1)
    structure = (2 * covariance + C2) / (variance_x + variance_y + C2)
    return (luminance * structure).mean(dim=(1, 2, 3)).to(images.dtype)


def _weighted_mean(x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c H W"]:
    """Of every window, first along the columns, then along the rows."""
    offset = torch.arange(WINDOW, device=x.device, dtype=x.dtype) - WINDOW // 2
    weight = (-(offset**2) / (2 * SIGMA**2)).exp()
    weight = weight / weight.sum()
    planes = x.flatten(0, 1).unsqueeze(1)
    planes = F.conv2d(F.conv2d(planes, weight[None, None, :, None]), weight[None, None, None, :])
    return planes.squeeze(1).unflatten(0, x.shape[:2])
