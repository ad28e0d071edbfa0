"""Encoding with ViT-B/16: bf16 against fp32, images per second, and how near the tokens stay."""

import argparse
import sys
from pathlib import Path
from statistics import median
from time import perf_counter

import torch

sys.path.insert(0, str(Path(__file__).parent))

from stellar.model import Factors, Stellar
from stellar.precision import autocast, choose_device
from stellar.presets import PRESETS
from table import print_table


def encode(model: Stellar, images: torch.Tensor, precision: str) -> tuple[float, Factors]:
    start = perf_counter()
    with torch.inference_mode(), autocast(precision, images.device)():
        factors = model.encode(images)
    if images.device.type == "cuda":
        torch.cuda.synchronize()
    return perf_counter() - start, factors


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", default="b16", choices=PRESETS)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    torch.manual_seed(0)
    config, device = PRESETS[options.preset]().model, choose_device("auto")
    model = Stellar(config).eval().to(device)
    images = torch.rand(options.batch, 3, config.image_size, config.image_size).to(device)
    times: dict[str, list[float]] = {"fp32": [], "bf16": []}
    factors: dict[str, Factors] = {}
    for _ in range(options.rounds + 1):
        for precision, taken in times.items():
            seconds, factors[precision] = encode(model, images, precision)
            taken.append(seconds)
    speed = {name: options.batch / median(taken[1:]) for name, taken in times.items()}
    likeness = {
        name: torch.cosine_similarity(
            getattr(factors["fp32"], name).float(), getattr(factors["bf16"], name).float(), dim=-1
        )
        for name in ("cls", "sparse", "dense")
    }
    rows = [
        (
            "images/s",
            f"{speed['fp32']:.2f}",
            f"{speed['bf16']:.2f}",
            f"{speed['bf16'] / speed['fp32']:.2f}",
        ),
        *(
            (f"cosine of {name}, least", "1", f"{cosine.min():.5f}", "")
            for name, cosine in likeness.items()
        ),
    ]
    title = f"Encoding, {options.preset}, batch {options.batch}"
    print_table(title, ("", "fp32", "bf16", "bf16 / fp32"), rows)


if __name__ == "__main__":
    main()
