"""Scenes of photographed things, as folders: what does a training make of things that nobody drew?

    python recipes/photographed.py things                       # or --ground photographs
    stellar pretrain --data things/photos --preset demo --training.steps 1000 --out runs/things
    stellar evaluate runs/things --data things/pairs

One to four pieces of photographs that come with scikit-image lie on paper or on crops of them, no
two of one photograph, which is a thing's class. Pieces have any outline, place and size, and may be
mirrored. Those of the test pictures are cut from quarters of the photographs that training never
sees.
"""

import argparse
from pathlib import Path

import numpy as np
from numpy.random import Generator, default_rng
from PIL import Image

from stellar.data.scenes.grounds import (
    PHOTOGRAPHS,
    crop_of,
    paper,
    photograph,
    require_photographs,
)

SIDES = (14, 24)
"""Least and largest side of the square that a thing is cut from, as pixels of 48."""
WAVES = range(2, 6)
"""How often an outline goes in and out, each as strong as 0.25 over its number."""


def outline(rng: Generator, side: int) -> np.ndarray:
    """A round thing with waves (side, side): whether a pixel is in it."""
    middles = 2 * (np.arange(side) + 0.5) / side - 1
    y, x = middles[:, None], middles[None]
    angle, radius = np.arctan2(y, x), np.ones((side, side))
    for number in WAVES:
        radius += rng.normal(0, 0.25 / number) * np.cos(number * angle + rng.uniform(0, 2 * np.pi))
    return np.hypot(y, x) < 0.95 * radius / radius.max()


def scene(rng: Generator, size: int, train: bool, ground: str) -> tuple[np.ndarray, np.ndarray]:
    """A picture (size, size, 3), and its mask: 0, or 1 and up for the class of a thing."""
    picture = paper(rng, size) if ground == "paper" else photograph(rng, size, train)
    mask = np.zeros((size, size), np.uint8)
    quadrants = rng.permutation(4)[: rng.integers(1, 5)]
    kinds = rng.permutation(len(PHOTOGRAPHS))
    for quadrant, kind in zip(quadrants.tolist(), kinds.tolist(), strict=False):
        side = int(rng.integers(SIDES[0], SIDES[1] + 1)) * size // 48
        corner = rng.integers(size // 2 - side + 1, size=2) + size // 2 * np.array(
            divmod(quadrant, 2)
        )
        there = tuple(slice(start, start + side) for start in corner.tolist())
        shape = outline(rng, side)
        picture[there][shape] = crop_of(rng, kind, side, train)[shape]
        mask[there][shape] = 1 + kind
    return picture, mask


def write(
    out: Path, size: int, ground: str, num_pictures: int, num_pairs: int, seed: int = 0
) -> None:
    """`out`/photos to train on; `out`/pairs, with masks, to fit probes on and to test."""
    parts = (
        ("photos", None, True, num_pictures),
        ("pairs/train/images", "pairs/train/masks", True, num_pairs),
        ("pairs/val/images", "pairs/val/masks", False, num_pairs),
    )
    for part, (images, masks, train, count) in enumerate(parts, start=seed):
        for folder in filter(None, (images, masks)):
            (out / folder).mkdir(parents=True)
        for number in range(count):
            picture, mask = scene(default_rng([part, number]), size, train, ground)
            Image.fromarray(picture).save(out / images / f"{number:05d}.png")
            if masks:
                Image.fromarray(mask).save(out / masks / f"{number:05d}.png")
    names = ("background", *(Path(name).stem for name in PHOTOGRAPHS))
    (out / "pairs/classes.txt").write_text("\n".join(names) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--ground", choices=("paper", "photographs"), default="paper")
    parser.add_argument("--size", type=int, default=48)
    parser.add_argument("--pictures", type=int, default=4000)
    parser.add_argument("--pairs", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0, help="other pictures: 99, say")
    options = parser.parse_args()
    if options.out.exists():
        parser.error(f"{options.out} exists; choose another folder")
    require_photographs()
    write(options.out, options.size, options.ground, options.pictures, options.pairs, options.seed)


if __name__ == "__main__":
    main()
