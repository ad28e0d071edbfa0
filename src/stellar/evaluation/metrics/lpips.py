"""LPIPS, how different two pictures look: the distance between AlexNet's features x of five
layers, each of length 1 at every place, weighed by what people judged (Zhang et al. 2018):

    LPIPS = sum over layers of mean over places of sum_c w_c (x_c - y_c)^2

The weights w come with torchmetrics; AlexNet's are torchvision's file.
"""

from importlib.util import find_spec
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from stellar.errors import MissingPackage
from stellar.evaluation.metrics.weight_files import find_metric_file
from stellar.model.files.strict_loading import load_weights
from stellar.model.files.tensors import read_state

FILE = "alexnet-owt-7be5be79.pth"
ADDRESS = f"https://download.pytorch.org/models/{FILE}"
SMALLEST = 31
"""Pixels a side that AlexNet needs to reach its last layer."""

MEAN, STD = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
"""Of each channel, of pixels in [-1, 1]."""


class LPIPS(nn.Module):
    """Parameters of `features` are named as in torchvision's file; `weights` hold w of each
    layer.
    """

    WIDTHS = (64, 192, 384, 256, 256)

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 64, 11, 4, 2), nn.ReLU(), nn.MaxPool2d(3, 2),
            nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2),
            nn.Conv2d(192, 384, 3, padding=1), nn.ReLU(),
            nn.Conv2d(384, 256, 3, padding=1), nn.ReLU(),
            nn.Conv2d(256, 256, 3, padding=1), nn.ReLU(),
        )  # fmt: skip
        self.weights = nn.ParameterList(torch.empty(1, width, 1, 1) for width in self.WIDTHS)

    def forward(
        self, images: Float[Tensor, "b 3 h w"], reconstructions: Float[Tensor, "b 3 h w"]
    ) -> Float[Tensor, " b"]:
        """Of each pair of images in [0, 1]."""
        mean, std = (images.new_tensor(values)[:, None, None] for values in (MEAN, STD))
        x, y = ((2 * pixels - 1 - mean) / std for pixels in (images, reconstructions))
        total, weights = images.new_zeros(len(images)), iter(self.weights)
        for layer in self.features:
            x, y = layer(x), layer(y)
            if isinstance(layer, nn.ReLU):
                difference = F.normalize(x, dim=1, eps=1e-10) - F.normalize(y, dim=1, eps=1e-10)
                total = total + (next(weights) * difference**2).sum(dim=1).mean(dim=(1, 2))
        return total


def find_weights(folder: Path | None = None) -> tuple[Path, Path]:
    """The files of AlexNet, out of a folder or torch's cache of downloads, and of w. Raises
    MissingPackage and WeightsError with a sentence.
    """
    package = find_spec("torchmetrics")
    if package is None or package.origin is None:
        raise MissingPackage(
            "LPIPS needs the weights that come with torchmetrics; "
            'install it with: pip install "stellar-vision[metrics]"'
        )
    judged = Path(package.origin).parent / "functional/image/lpips_models/alex.pth"
    return find_metric_file("LPIPS", (FILE,), ADDRESS, folder), judged


def load_lpips(folder: Path | None = None) -> LPIPS:
    """With the weights that `find_weights` finds, and its errors."""
    alexnet, judged = find_weights(folder)
    state = dict(read_state(alexnet))
    for name, weight in read_state(judged).items():
        state[name.replace("lin", "weights.").removesuffix(".model.1.weight")] = weight
    with torch.device("meta"):
        lpips = LPIPS()
    load_weights(lpips, state, ("classifier.",))
    return lpips.eval().requires_grad_(False)
