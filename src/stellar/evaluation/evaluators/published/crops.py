"""The pictures that the published probes see: random crops, new ones in every epoch, to learn from;
and the centre of the picture to be tested on. Bicubic without antialiasing, as its library resizes
by default.
"""

import numpy as np
import torch.nn.functional as F
from jaxtyping import Shaped, UInt8
from torch import Tensor

from stellar.config import ModelConfig
from stellar.data.folder import ImageSource
from stellar.data.views.crops import draw_crop, laid
from stellar.images import Pixels
from stellar.images.sizes import resize

SHORT_SIDE, CENTRE = 256, 224
"""Of a test picture: what its short side becomes, and the side of the square that is seen; for
models of another size in the same ratio.
"""


class RandomCrops:
    """A source's N pictures once in each epoch, each a random crop of `size` pixels a side that has
    a share of the area within `scale`, half of them mirrored: picture i of epoch e is the one at
    e N + i, and (seed, e, i) alone decide it.
    """

    def __init__(
        self,
        source: ImageSource,
        size: int,
        scale: tuple[float, float],
        seed: int,
        epochs: int = 1,
    ) -> None:
        self.source, self.channels, self.size = source, source.channels, size
        self.scale, self.seed, self.epochs = scale, seed, epochs

    def __len__(self) -> int:
        return len(self.source) * self.epochs

    def name(self, index: int) -> str:
        """Of the picture."""
        return self.source.name(index % len(self.source))

    def read(self, index: int) -> Pixels:
        """The crop, bicubic."""
        pixels = self._cut(self.source.read(index % len(self.source)), index)
        return resize(pixels, self.size, self.size, antialias=False)

    def cut_mask(self, mask: UInt8[Tensor, "h w"], index: int) -> UInt8[Tensor, "s s"]:
        """The same crop of the picture's mask: nearest pixels."""
        return nearest_pixels(self._cut(mask, index), self.size, self.size)

    def _cut(self, pixels: Shaped[Tensor, "*C h w"], index: int) -> Shaped[Tensor, "*C y x"]:
        """What the crop keeps, mirrored where it is."""
        rng = np.random.default_rng([self.seed, *divmod(index, len(self.source))])
        height, width = pixels.shape[-2:]
        top, left, height, width, lies = draw_crop(rng, height, width, self.scale)
        return laid(pixels[..., top : top + height, left : left + width], lies)


class CentreCrops:
    """A source's pictures with their short side at 256 / 224 of `size`, and of that the centre."""

    def __init__(self, source: ImageSource, size: int) -> None:
        self.source, self.channels, self.size = source, source.channels, size

    def __len__(self) -> int:
        return len(self.source)

    def name(self, index: int) -> str:
        """Of the picture."""
        return self.source.name(index)

    def read(self, index: int) -> Pixels:
        """The centre, bicubic."""
        pixels = self.source.read(index)
        return self._centre(resize(pixels, *self._sides(pixels), antialias=False))

    def cut_mask(self, mask: UInt8[Tensor, "h w"], _index: int) -> UInt8[Tensor, "s s"]:
        """The same centre of the picture's mask: nearest pixels."""
        return self._centre(nearest_pixels(mask, *self._sides(mask)))

    def _sides(self, pixels: Shaped[Tensor, "*C h w"]) -> tuple[int, int]:
        """Height and width before the centre is cut out."""
        short = self.size * SHORT_SIDE // CENTRE
        height, width = pixels.shape[-2:]
        if height <= width:
            return short, width * short // height
        return height * short // width, short

    def _centre(self, pixels: Shaped[Tensor, "*C h w"]) -> Shaped[Tensor, "*C s s"]:
        top, left = ((side - self.size) // 2 for side in pixels.shape[-2:])
        return pixels[..., top : top + self.size, left : left + self.size]


def nearest_pixels(
    mask: UInt8[Tensor, "h w"], height: int, width: int
) -> UInt8[Tensor, "{height} {width}"]:
    """A mask at another size."""
    return F.interpolate(mask[None, None], (height, width), mode="nearest")[0, 0]


def seen(config: ModelConfig) -> str:
    """What the published probes see of a picture, in words."""
    size = config.image_size
    return (
        f"to learn from: random crops of {size} x {size}, new in every epoch, half mirrored; to be "
        f"tested on: the centre, {size} x {size}, of the picture with its short side at "
        f"{size * SHORT_SIDE // CENTRE} (in reconstruction a random crop); bicubic, not antialiased"
    )
