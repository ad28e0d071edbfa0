"""Codes of the MaskGIT-VQGAN: bf16 and channels last where it pays (exact) and everywhere (fast),
compiled on a GPU, against fp32 as it comes.

Weights are random, and the codebook is made of vectors that the encoder gives for other pictures,
so that the nearest two rows are as near as they can be; the pictures are crops of photographs.
"""

import copy
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parent))

from sizes import tokenizer_config
from stellar.config import TrainingConfig
from stellar.images import read_image, unit_range
from stellar.model.vqgan import VQGAN
from stellar.precision import autocast, choose_device, resolve_precision
from stellar.training.computation import compute_as
from table import Row, medians, print_rows


def photographs(count: int, size: int) -> Tensor:
    """Crops of photographs that come with scikit-image."""
    import skimage

    folder = Path(skimage.__file__).parent / "data"
    sources = [unit_range(read_image(folder / name)) for name in ("astronaut.png", "coffee.png")]
    generator = torch.Generator().manual_seed(0)
    crops = []
    for number in range(count):
        source = sources[number % len(sources)]
        top, left, side = (
            int(torch.randint(0, end, (), generator=generator)) for end in (140, 140, 120)
        )
        crop = source[None, :, top : top + 120 + side, left : left + 120 + side]
        crops.append(F.interpolate(crop, (size, size), mode="bilinear", antialias=True))
    return torch.cat(crops)


def with_near_rows(model: VQGAN, images: Tensor) -> None:
    """Weights that keep the size of what goes through, and a codebook of the model's own vectors,
    in place.
    """
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
            module.weight.mul_(0.5)
    parts = [model.encoder(part) for part in images.split(8)]
    rows = torch.cat(parts).permute(0, 2, 3, 1).flatten(0, 2)
    book = model.quantize.embedding.weight
    book.copy_(rows[torch.randperm(len(rows))[: len(book)]])


def plain_encoder(model: VQGAN) -> Any:
    """The encoder as it comes: nothing but its modules, one after the other."""
    encoder = model.encoder

    def encode(images: Tensor) -> Tensor:
        x = encoder.conv_in(images)
        for index, level in enumerate(encoder.down):
            x = level(x if index == 0 else F.avg_pool2d(x, 2))
        for block in encoder.mid:
            x = block(x)
        return encoder.conv_out(F.silu(encoder.norm_out(x)))

    return encode


@torch.no_grad()
def rows(toy: bool = False, rounds: int = 5) -> Iterator[Row]:
    """Speed and sameness, exact and fast; on a CPU at 112 px, to be short."""
    device = choose_device("auto")
    batch, size = (4, 32) if toy else (64, 224) if device.type == "cuda" else (8, 112)
    torch.manual_seed(0)
    model = VQGAN(tokenizer_config("toy" if toy else "b16")).to(device)
    with_near_rows(model, photographs(48, size).to(device))
    images = photographs(48 + 4 * batch, size)[48:].to(device)
    low = autocast(resolve_precision("auto", device), device)

    def exact(part: Tensor) -> Tensor:
        vectors = plain_encoder(model)(part)
        return model.quantize.nearest(vectors.permute(0, 2, 3, 1).flatten(0, 2))

    parts = images.split(batch)
    for codes in ("exact", "fast"):
        other = copy.deepcopy(model)
        compute_as(other, TrainingConfig(codes=codes), device)

        def ours(part: Tensor, other: VQGAN = other) -> Tensor:
            with low():
                return other.codes(part).flatten()

        same = torch.cat([ours(part) == exact(part) for part in parts]).double().mean().item()
        sides = {"ours": lambda ours=ours: ours(parts[0]), "plain": lambda: exact(parts[0])}
        seconds = medians(sides, rounds)
        yield Row(
            f"codes of the VQGAN, {size} px, batch {batch}, {codes}",
            "images/s",
            batch / seconds["ours"],
            batch / seconds["plain"],
            2.5 if device.type == "cuda" else 1.5,
            note="plain: fp32, NCHW",
        )
        yield Row(
            f"those codes that stay the same, {codes}", "%", 100 * same, 100.0,
            0.995 if codes == "exact" else 0.97,
            note="random weights; the codebook is made of the encoder's own vectors",
        )  # fmt: skip


if __name__ == "__main__":
    print_rows("Codes of the VQGAN", rows())
