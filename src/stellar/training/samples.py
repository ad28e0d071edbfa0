"""Pictures of what a model sees while it learns: a few images of the data, their token maps and
reconstructions.
"""

import torch
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from stellar.config import ModelConfig
from stellar.data import ImageSource
from stellar.data.folder import evenly_spread
from stellar.images import UnreadableImage, eight_bits, fitted
from stellar.model import MissingTokenizer, Stellar
from stellar.pictures import picture_sheet


def sample_images(source: ImageSource, config: ModelConfig, count: int) -> UInt8[Tensor, "n C h w"]:
    """Up to `count` readable images, spread over the data and cropped to a square."""
    images = []
    for index in evenly_spread(source, count):
        try:
            images.append(eight_bits(fitted(source.read(index), "crop", config)))
        except UnreadableImage:
            continue
    return torch.stack(images) if images else torch.empty(0, 0, 0, 0, dtype=torch.uint8)


@torch.no_grad()
def draw_samples(model: Stellar, images: UInt8[Tensor, "n C h w"]) -> Image.Image:
    """The picture sheet of these images. A model without its tokenizer draws a grey field in place
    of a reconstruction.
    """
    factors = model.encode(images.to(model.device))
    try:
        drawn = model.reconstruct(factors)
    except MissingTokenizer:
        drawn = torch.full(images.shape, 0.5)
    return picture_sheet(images, factors, drawn.cpu())
